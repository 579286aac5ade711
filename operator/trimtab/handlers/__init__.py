"""kopf wiring and the one decision loop: joins observing, deciding and applying."""
