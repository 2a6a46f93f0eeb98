"""What studies of letters share: the words, the model's answers, activations, codes, and probes of them."""
