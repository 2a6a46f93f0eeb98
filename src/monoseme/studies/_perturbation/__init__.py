"""What the studies `scr` and `tpp` share: probes on labelled texts, and what they say once latents are ablated."""
