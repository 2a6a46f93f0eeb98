"""What the study `unlearning` is made of; `unlearning.py` beside this folder puts it together."""
