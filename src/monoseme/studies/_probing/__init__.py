"""What the study `probing` is made of; `probing.py` beside this folder puts it together."""
