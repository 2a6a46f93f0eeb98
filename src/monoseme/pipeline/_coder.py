"""Runs a run's model and one of its SAEs on new text, for scorers that write text of their own."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from monoseme.atlas import Target
from monoseme.atlas.coder import CodedText, Coder
from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel
from monoseme.pipeline._evaluate import run_config
from monoseme.pipeline._folder import RunFolder
from monoseme.pipeline._materials import Materials
from monoseme.pipeline._saes import NamedSae, open_saes


def coder_of(run: RunFolder, key: str) -> Coder:
    """What gives the activations of an SAE of the run, by its name in the atlas, on texts.

    Texts stand alone, after a BOS token where contexts of the run begin with one, and are cut to the run's contexts. Raises
    ConfigError for an SAE that the run has not, or that reads two models; what loading the model and the SAEs raises.
    """
    materials = Materials(run_config(run))
    for named in open_saes(str(run.path), device=materials.sae_device):
        target = _target(named, key)
        if target is not None:
            model = materials.spliced_model(named.sites)
            if model is None:
                raise ConfigError(f"{named.name} reads two models, so that it cannot be run on text alone.")
            corpus = materials.config.corpus
            return _coder(model, target, key, has_bos=corpus.bos != "never", most_tokens=corpus.context_len)
    raise ConfigError(f'{run.path} has no SAE "{key}" any more, so that it cannot be run on new text.')


def _target(named: NamedSae, key: str) -> Target | None:
    """The SAE with the part that the atlas calls so."""
    parts = (None, *named.sae.parts)
    targets = [Target(named.name, named.sae, named.sites, part=part) for part in parts]
    return next((target for target in targets if key in target.keys), None)


def _coder(model: LanguageModel, target: Target, key: str, *, has_bos: bool, most_tokens: int) -> Coder:
    placed, number = target.placed, target.keys.index(key)
    encode = _encoder(model, has_bos=has_bos, most_tokens=most_tokens)

    @torch.no_grad()
    def code(text: str, latents: Sequence[int]) -> CodedText:
        tokens = torch.tensor([encode(text)], dtype=torch.int64, device=model.device)
        mask = model.editable(tokens)
        if not mask.any():
            return CodedText((), np.zeros((0, len(latents)), dtype=np.float32))
        activations = model.capture(tokens, placed.inputs)
        codes = placed.per_site(placed.encode(activations, mask).sparse(target.part))[number]
        texts = model.decode_tokens(tokens[mask].tolist())
        return CodedText(tuple(texts), codes.to_dense()[:, list(latents)].float().cpu().numpy())

    return lambda texts, latents: [code(text, latents) for text in texts]


def _encoder(model: LanguageModel, *, has_bos: bool, most_tokens: int) -> Callable[[str], list[int]]:
    bos = model.tokenizer.bos_token_id

    def encode(text: str) -> list[int]:
        plain: list[int] = model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ([bos] if has_bos and bos is not None else []) + plain[: most_tokens - 1]

    return encode
