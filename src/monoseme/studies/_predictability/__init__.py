"""What the study `predictability` is made of; `predictability.py` beside this folder puts it together."""
