"""The prompt page's other half: one forward of a run's language model, then an SAE on what it saw.

The model is loaded when a prompt first needs it and kept; one forward runs at a time.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from monoseme.core.errors import ArtifactMissingError, MonosemeError
from monoseme.models import LanguageModel, ModelConfig, Site
from monoseme.saes import SAE, load_sae
from monoseme.splice import Placed
from monoseme.tensors.sparse import SparseCodes
from monoseme.web import _schema as schema
from monoseme.web._data import UnavailableError

ModelLoader = Callable[[ModelConfig], LanguageModel]

MAX_TOKENS = 1024
"""Longest prompt that is read; attention is quadratic in it."""
_MAX_FIRINGS_PER_TOKEN = 256
"""Bounds the answer for SAEs with dense codes; told in `truncated`."""


def load_model(config: ModelConfig) -> LanguageModel:
    """The model that the config names; what `create_app` uses unless it is given another way."""
    return LanguageModel.load(config)


class AskedSAE(NamedTuple):
    """Which latents a prompt is to be read with."""

    path: Path
    """Of the `sae` artifact."""
    sites: tuple[Site, ...]
    """Those it learned from, in order."""
    part: str | None = None
    """Part of its codes; None: all of them."""
    code_site: str | None = None
    """The site whose codes are meant, where each has codes of its own; None: the first."""


class ReadTokens(NamedTuple):
    """What a prompt made an SAE say."""

    tokens: list[schema.PromptToken]
    truncated: str
    seconds: float


class PromptReader:
    """Runs one run's model and SAEs on prompts. Safe to ask from several threads."""

    def __init__(self, config: ModelConfig, *, loader: ModelLoader, begins_with_bos: bool) -> None:
        """`begins_with_bos`: whether the contexts the SAEs learned from did, so that a prompt looks the same to them."""
        self._config, self._loader, self._begins_with_bos = config, loader, begins_with_bos
        self._model: LanguageModel | None = None
        self._saes: dict[Path, SAE] = {}
        self._lock = threading.Lock()

    def read(self, text: str, asked: "AskedSAE") -> ReadTokens:
        """The latents of an SAE on each token of `text`, strongest first.

        Raises UnavailableError when the model or the SAE is not there, or the SAE needs a second model.
        """
        if any(site.model is not None for site in asked.sites):
            raise UnavailableError("this SAE reads two models side by side; prompts are run through one")
        with self._lock:
            model, sae = self._ready(asked.path)
            started = time.monotonic()
            ids, truncated = self._encode(model, text)
            special = [token in model.special_ids for token in ids]
            placed = Placed(sae, asked.sites)
            captured = model.capture(torch.tensor([ids], device=model.device), placed.inputs)
            counts = ~torch.tensor([special])
            with torch.no_grad():
                codes = placed.per_site(
                    placed.encode({site: x.float() for site, x in captured.items()}, counts).sparse(asked.part)
                )
            where = [str(site) for site in placed.code_sites]
            own = where.index(asked.code_site) if asked.code_site in where else 0
            read = _tokens(model.decode_tokens(ids), special, codes[own])
        if any(token.n_firings > _MAX_FIRINGS_PER_TOKEN for token in read):
            truncated = f"{truncated} Only the {_MAX_FIRINGS_PER_TOKEN} strongest latents of each token are shown.".strip()
        return ReadTokens(read, truncated, time.monotonic() - started)

    def _ready(self, sae_path: Path) -> tuple[LanguageModel, SAE]:
        try:
            if self._model is None:
                self._model = self._loader(self._config)
            if sae_path not in self._saes:
                self._saes[sae_path] = load_sae(sae_path).export().to(self._model.device).eval()
        except ArtifactMissingError as error:
            raise UnavailableError(str(error)) from error
        except MonosemeError as error:
            first, _, rest = str(error).partition("\n")
            raise UnavailableError(f"the model {self._config.model} of this run cannot be loaded: {first}\n{rest}") from error
        return self._model, self._saes[sae_path]

    def _encode(self, model: LanguageModel, text: str) -> tuple[list[int], str]:
        """Token ids, with BOS first where training had it, and a sentence on what was cut off."""
        ids = model.encode(text)
        if self._begins_with_bos and model.bos_id is not None and ids[:1] != [model.bos_id]:
            ids = [model.bos_id, *ids]
        longest = min(MAX_TOKENS, model.spec.n_positions or MAX_TOKENS)
        if len(ids) <= longest:
            return ids, ""
        return ids[:longest], f"Only the first {longest:,} of {len(ids):,} tokens were read."


def _tokens(texts: list[str], special: list[bool], codes: SparseCodes) -> list[schema.PromptToken]:
    """One entry per token; special tokens get no latents, because SAEs are trained without them. Codes are of the others."""
    offsets = codes.offsets.tolist()
    indices, values = codes.indices.tolist(), codes.values.float().tolist()
    found: list[schema.PromptToken] = []
    row = 0
    for text, is_special in zip(texts, special, strict=True):
        pairs: list[tuple[int, float]] = []
        if not is_special:
            entries = slice(offsets[row], offsets[row + 1])
            pairs = sorted(zip(indices[entries], values[entries], strict=True), key=_strength)
            row += 1
        firings = [schema.Firing(latent=latent, value=value) for latent, value in pairs[:_MAX_FIRINGS_PER_TOKEN]]
        found.append(schema.PromptToken(text=text, special=is_special, firings=firings, n_firings=len(pairs)))
    return found


def _strength(pair: tuple[int, float]) -> tuple[float, int]:
    return -abs(pair[1]), pair[0]


def over_prompt(
    tokens: list[schema.PromptToken], rows: Callable[[list[int]], dict[int, schema.LatentRow]]
) -> list[schema.PromptLatent]:
    """Each latent over the whole prompt, strongest first; `rows` looks latents up in their table."""
    seen: dict[int, list[tuple[float, int]]] = {}
    for at, token in enumerate(tokens):
        for firing in token.firings:
            seen.setdefault(firing.latent, []).append((firing.value, at))
    known = rows(list(seen))
    latents = []
    for index, firings in seen.items():
        value, at = max(firings, key=lambda firing: (abs(firing[0]), -firing[1]))
        row = known.get(index)
        latents.append(
            schema.PromptLatent(
                index=index,
                max=value,
                peak=at,
                n_tokens=len(firings),
                density=row.density if row else None,
                share_of_max=value / row.max if row and row.max else None,
                explanation=row.explanation if row else None,
            )
        )
    return sorted(latents, key=lambda latent: (-abs(latent.max), latent.index))
