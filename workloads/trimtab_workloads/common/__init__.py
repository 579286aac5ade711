"""Shared by all entry points: configuration, logging, results, intervals. Standard library and pydantic only."""
