"""Makes a variant of a trained model: pruned, quantized, exported, measured and evaluated."""
