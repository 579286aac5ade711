"""Reads trace files strictly: what is wrong is said with file, line and column, and nothing is filled in silently."""
