"""What the study `ravel` is made of; `ravel.py` beside this folder puts it together."""
