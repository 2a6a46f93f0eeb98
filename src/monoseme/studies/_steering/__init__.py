"""What the study `steering` is made of; `steering.py` beside this folder puts it together."""
