"""How sparse probing is measured, drawn and told."""
