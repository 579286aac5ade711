"""What runs inside trimtab's workload pods: train, optimize, serve, benchmark and the exporter for simulated nodes."""

__version__ = "0.1.0"
