"""What the study `spelling` is made of; `spelling.py` beside this folder puts it together."""
