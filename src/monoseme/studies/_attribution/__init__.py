"""What the study `attribution` is made of."""
