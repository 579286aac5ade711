"""`trimtab demo`: the whole story on real pods, every step through kubectl and helm as a user would take it."""
