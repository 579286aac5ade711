"""Gives pods on simulated nodes the progress and power that a profile says, and ends them when their work is done."""
