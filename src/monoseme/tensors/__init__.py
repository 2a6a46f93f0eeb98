"""Numbers in memory: shape types, sparse codes, running statistics."""
