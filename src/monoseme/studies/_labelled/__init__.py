"""Labelled texts, and the means over their tokens of activations and codes: what sparse probing, SCR and TPP are measured on."""
