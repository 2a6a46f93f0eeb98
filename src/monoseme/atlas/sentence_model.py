"""Sentence vectors from a local transformers model: the mean over tokens of its last hidden state, of length 1.

Source: Reimers and Gurevych 2019, "Sentence-BERT" (arXiv:1908.10084), mean pooling. Nothing is fetched; a folder is given.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monoseme.core.errors import ModelError, ModelNotFoundError

_MOST_TOKENS = 512
"""Tokens of a text that are read (count), fewer where the model reads fewer: explanations and excerpts are short."""


class SentenceModel:
    """A model that turns texts into vectors."""

    def __init__(self, folder: str | Path, *, device: str = "cpu", batch_size: int = 64) -> None:
        """Loads it. Raises ModelNotFoundError where there is no such folder, ModelError where it holds no usable model."""
        if not Path(folder).is_dir():
            raise ModelNotFoundError(f'there is no folder "{folder}".\n  Give the folder of a transformers model for sentences.')
        self.folder, self.batch_size, self._device = Path(folder), batch_size, device
        self._tokenizer, self._model = _loaded(self.folder, device)
        places = getattr(self._model.config, "max_position_embeddings", None) or _MOST_TOKENS
        self._most = min(_MOST_TOKENS, places)

    def __repr__(self) -> str:
        return f"SentenceModel({str(self.folder)!r})"

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """One row of length 1 for each text, [n, D]; a text without tokens gives zeros."""
        batches = [self._batch(texts[i : i + self.batch_size]) for i in range(0, len(texts), self.batch_size)]
        return np.concatenate(batches) if batches else np.zeros((0, int(self._model.config.hidden_size)))

    def _batch(self, texts: Sequence[str]) -> NDArray[np.float64]:
        import torch

        given = self._tokenizer(list(texts), padding=True, truncation=True, max_length=self._most, return_tensors="pt")
        inputs = {name: given[name].to(self._device) for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            states = self._model(**inputs).last_hidden_state.double()
        mask = inputs["attention_mask"][..., None].double()
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
        norm = mean.norm(dim=1, keepdim=True)
        return torch.where(norm > 0, mean / norm.clamp(min=1e-30), 0.0).cpu().numpy()


def _loaded(folder: Path, device: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    from monoseme.models._loading import without_progress_bar

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        with without_progress_bar():
            model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).to(device).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{folder} holds no model that transformers can load: {str(error)[:300]}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer, model
