"""Judges workloads and policies before they are stored: what can never fit, by how much, and what would be right."""
