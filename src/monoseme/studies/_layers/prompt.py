"""What the latents of an SAE with codes at several layers do on one prompt.

Letters: T tokens of the prompt that count, L sites, F latents.
"""

from typing import NamedTuple

import torch

from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel
from monoseme.studies._base import Row
from monoseme.studies._workbench import Subject
from monoseme.tensors.shapes import Float, Tensor


class OnPrompt(NamedTuple):
    """The firings on a prompt."""

    rows: list[Row]
    """One for each token, site and latent that fires."""
    totals: Float[Tensor, "L F"]
    """Sum of |z| over the tokens, float64."""


@torch.no_grad()
def on_prompt(model: LanguageModel, subject: Subject, prompt: str) -> OnPrompt:
    """Encodes the prompt as the tokenizer does by default; special tokens do not count. Raises ConfigError where none is left."""
    tokens = torch.tensor([model.encode(prompt)], device=model.device)
    mask = model.editable(tokens)
    if not bool(mask.any()):
        raise ConfigError(f'the prompt "{prompt}" has no token that counts.\n  Give one with words:  --prompt "The cat sat"')
    placed = subject.placed
    codes = placed.encode(model.capture(tokens, placed.inputs), mask).sparse(subject.part)
    positions, texts = mask[0].nonzero().squeeze(1).tolist(), model.decode_tokens(tokens[mask].tolist())
    n_sites = codes.leading[1]
    totals = torch.zeros(n_sites, codes.n_latents, dtype=torch.float64)
    values = codes.values.cpu().double()
    places = codes.rows().cpu()
    totals.index_put_((places % n_sites, codes.indices.cpu().long()), values.abs(), accumulate=True)
    rows: list[Row] = [
        {
            "sae": subject.name,
            "position": positions[place // n_sites],
            "token": texts[place // n_sites],
            "site": str(placed.code_sites[place % n_sites]),
            "latent": latent,
            "value": value,
        }
        for place, latent, value in zip(places.tolist(), codes.indices.tolist(), values.tolist(), strict=True)
    ]
    return OnPrompt(rows, totals)
