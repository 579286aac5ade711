"""What was spent: energy, cost, carbon. Conserved over restarts, and said how well it is known."""
