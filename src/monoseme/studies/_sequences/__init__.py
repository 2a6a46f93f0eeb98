"""What the study `sequences` is made of; `sequences.py` beside this folder puts it together."""
