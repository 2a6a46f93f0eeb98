"""What the study `scr` is made of; `scr.py` beside this folder puts it together."""
