"""Pure builders: the Kubernetes objects that a workload needs under a decision."""
