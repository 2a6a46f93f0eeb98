"""How the battery is run on architectures for which its usual sizes do not fit: keyword arguments of `subject_of`, by name."""

from typing import Any

from monoseme.saes import SAES
from monoseme.saes.clt import CLT
from monoseme.saes.gated import Gated
from monoseme.saes.jumprelu import JumpReLU
from monoseme.saes.matryoshka import Matryoshka
from monoseme.saes.relu import ReLU
from monoseme.saes.tfa import TFA
from monoseme.saes.tsae import TSAE
from monoseme.testing import Subject, subject_of

_SETTINGS: dict[str, dict[str, Any]] = {
    "clt": {"small": CLT.Config(d_in=7, n_latents=11, k=2, n_sites=4)},
    # about 2 of the 4 directions stay on, and all are found; the seed leaves latents silent on 3 rows
    "gated": {
        "small": Gated.Config(d_in=7, n_latents=11, seed=1),
        "planted": Gated.Config(d_in=32, n_latents=128, dead_after_tokens=5_000, sparsity_coefficient=0.5),
    },
    "jumprelu": {"planted": JumpReLU.Config(d_in=32, n_latents=128, dead_after_tokens=5_000, sparsity_coefficient=0.02)},
    # standardising takes the mean off each direction: 60 of the 64 keep a cosine above 0.9 with themselves, and all 60 are found
    "normalized_topk": {"min_recovery": 60 / 64},
    "tfa": {  # n_latents is divisible by n_heads * bottleneck
        "small": TFA.Config(d_in=7, n_latents=12, k=2, n_heads=3, n_attention_layers=2, bottleneck=2, auxk_coefficient=0.5)
    },
    "matryoshka": {"small": Matryoshka.Config(d_in=7, n_latents=11, k=2, group_fractions=(0.3, 0.2, 0.5))},
    "tsae": {"small": TSAE.Config(d_in=7, n_latents=11, k=2, group_fractions=(0.6, 0.4))},
    "relu": {"planted": ReLU.Config(d_in=32, n_latents=128, dead_after_tokens=5_000, sparsity_coefficient=0.2)},
    "thresholded": {"min_recovery": None},  # for fine-tuning: from scratch it is a ReLU without a penalty
}


def subject(name: str) -> Subject:
    """The subject of a registered architecture."""
    return subject_of(SAES.get(name), **_SETTINGS.get(name, {}))
