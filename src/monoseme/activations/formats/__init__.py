"""Foreign stores of activations: one file per format, each read block by block."""
