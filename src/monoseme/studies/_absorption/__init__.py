"""What the study `absorption` is made of; `absorption.py` beside this folder puts it together."""
