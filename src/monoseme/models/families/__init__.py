"""Model families: one file each, named as the `model_type` of transformers. Files that begin with _ are shared."""
