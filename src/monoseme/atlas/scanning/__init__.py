"""One pass over a text: from activations to everything an atlas keeps of each latent."""
