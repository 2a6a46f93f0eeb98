"""What the study `residual` is made of; `residual.py` beside this folder puts it together."""
