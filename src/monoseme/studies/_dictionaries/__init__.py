"""What the study `dictionaries` is made of; `dictionaries.py` beside this folder puts it together."""
