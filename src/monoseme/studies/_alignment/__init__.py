"""What the study `alignment` is made of; `alignment.py` beside this folder puts it together."""
