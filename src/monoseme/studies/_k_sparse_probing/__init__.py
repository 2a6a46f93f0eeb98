"""What the study `k_sparse_probing` is made of; `k_sparse_probing.py` beside this folder puts it together."""
