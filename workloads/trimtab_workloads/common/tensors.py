"""Names of the tensors of every artifact, as export makes them and clients send them."""

from __future__ import annotations

INPUT = "input"
"""float32 [batch, 1, 8, 8] in 0..1."""
OUTPUT = "logits"
"""float32 [batch, 10]."""
