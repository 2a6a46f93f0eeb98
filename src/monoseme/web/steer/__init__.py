"""The steer page: texts that the model writes with latents turned up or down."""
