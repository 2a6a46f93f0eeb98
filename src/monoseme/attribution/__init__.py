"""What latents do to what a model says: by gradients, by integrated gradients, by ablation, directly and through other latents."""
