"""What the study `card` is made of; `card.py` beside this folder puts it together."""
