"""How the rows of a decoder are measured, drawn and told."""
