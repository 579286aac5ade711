"""trimtab: holds AI workloads to their targets for the least money, energy and carbon."""
