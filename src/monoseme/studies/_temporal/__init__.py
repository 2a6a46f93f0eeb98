"""What the study `temporal` is made of; `temporal.py` beside this folder puts it together."""
