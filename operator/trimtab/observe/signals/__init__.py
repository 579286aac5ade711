"""Carbon intensity from web APIs and Prometheus: clients, one a module, and what runs them in the background."""
