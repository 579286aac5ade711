"""Makes it so: Plan to child objects by server-side apply, Triton model control, status, events."""
