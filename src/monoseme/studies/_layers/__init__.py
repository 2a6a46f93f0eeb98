"""What the study `layers` is made of; `layers.py` beside this folder puts it together."""
