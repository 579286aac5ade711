"""Serving, replayed: requests from a trace, replicas with measured speeds, and the policies that scale them."""
