"""What the study `latent_evaluation` is made of; `latent_evaluation.py` beside this folder puts it together."""
