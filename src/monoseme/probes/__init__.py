"""Linear and sparse probes: trained on streamed activations, measured on what they have not seen, kept with their split."""
