"""Measures a served model from outside: open-loop load over gRPC."""
