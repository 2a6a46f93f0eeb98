"""What the study `maps` is made of; `maps.py` beside this folder puts it together."""
