"""The container images of trimtab: built on this machine, kept in one store, and given to clusters without a copy."""
