"""What the study `tpp` is made of; `tpp.py` beside this folder puts it together."""
