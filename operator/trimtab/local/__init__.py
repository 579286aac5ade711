"""A real Kubernetes on one machine, for trying trimtab and for its tests: nothing in it is a mock.

This package stays light to import: its supervisor runs as the first process of every cluster.
"""
