"""Access to the Kubernetes API: one small synchronous client with typed errors."""
