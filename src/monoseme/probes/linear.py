"""Linear probes, one for each class, and the file that keeps one with the split it was trained on.

    NAME.safetensors    weight [C, D], bias [C], log_balance [C] (float32), is_test [N] (bool)
                        metadata "monoseme": JSON of classes, left_out, training, split

Letters: N examples, C classes, D features (width of the activations, or latents).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from monoseme.core.config import from_dict, to_dict
from monoseme.core.errors import ArtifactDamagedError, ConfigError
from monoseme.core.files import write_atomic
from monoseme.probes.settings import ProbeTraining
from monoseme.probes.split import Split
from monoseme.tensors.shapes import Float, Tensor

_KEY = "monoseme"
_CUT = 0.0
"""Logit from which a probe says yes: probability 0.5."""


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """C probes on the same D features: `logits(x) = x weight^T + bias`; a class is said where its logit is above 0."""

    weight: Float[Tensor, "C D"]
    bias: Float[Tensor, " C"]
    classes: tuple[str, ...]
    log_balance: Float[Tensor, " C"] | None = None
    """Logarithm of the weight that each class's positives had in training. Logits are as if positives and negatives were equally
    many; less this, they are of the frequencies in the training data. None: no weights."""
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    """Class that has no probe -> why."""

    def __repr__(self) -> str:
        return f"LinearProbe({len(self.classes)} classes, D={self.weight.shape[1]})"

    def logits(self, x: Any) -> Float[Tensor, "*lead C"]:
        """Of activations [*, D], or of SciPy's sparse rows [N, D], which stay sparse."""
        if isinstance(x, Tensor):
            weight = self.weight.to(x.device, torch.promote_types(x.dtype, self.weight.dtype))
            return x.to(weight.dtype) @ weight.t() + self.bias.to(weight)
        return torch.from_numpy(np.asarray(x @ self.weight.t().double().numpy())) + self.bias.double()

    def says(self, x: Any) -> Tensor:
        """Whether each class is said, bool [*, C]."""
        return self.logits(x) > _CUT

    def probabilities(self, x: Any) -> Float[Tensor, "*lead C"]:
        """Of each class where classes are as frequent as in the training data."""
        logits = self.logits(x)
        return torch.sigmoid(logits if self.log_balance is None else logits - self.log_balance.to(logits))

    def index(self, name: str) -> int:
        """Row of a class. Raises ConfigError for one without a probe, with the reason."""
        if name in self.classes:
            return self.classes.index(name)
        why = self.left_out.get(name, f"there are probes of {', '.join(self.classes)}")
        raise ConfigError(f'there is no probe of the class "{name}": {why}')

    def direction(self, name: str) -> Float[Tensor, " D"]:
        """The weights of one class. Raises ConfigError for one without a probe."""
        return self.weight[self.index(name)]


class SavedProbe(NamedTuple):
    """A probe as a file holds it."""

    probe: LinearProbe
    split: Split
    training: ProbeTraining


def probe_bytes(saved: SavedProbe) -> bytes:
    """The file, the same bytes for the same probe."""
    probe = saved.probe
    balance = torch.zeros_like(probe.bias) if probe.log_balance is None else probe.log_balance
    tensors = {"weight": probe.weight, "bias": probe.bias, "log_balance": balance}
    facts = {
        "classes": list(probe.classes),
        "left_out": dict(probe.left_out),
        "balanced": probe.log_balance is not None,
        "training": to_dict(saved.training),
        "split": {"seed": saved.split.seed, "test_fraction": saved.split.test_fraction},
    }
    # One key: the order of several would differ from call to call.
    return save(
        {name: x.detach().cpu().float().contiguous() for name, x in tensors.items()}
        | {"is_test": torch.from_numpy(saved.split.is_test)},
        metadata={_KEY: json.dumps(facts)},
    )


def save_probe(path: Path, saved: SavedProbe) -> None:
    """Writes the file whole or not at all. Raises DiskFullError."""
    write_atomic(path, probe_bytes(saved))


def load_probe(path: Path) -> SavedProbe:
    """What `save_probe` wrote. Raises ArtifactDamagedError for a file that is cut short or of something else."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
        tensors = load(path.read_bytes())
        return _read(facts, tensors)
    except (OSError, LookupError, TypeError, ValueError, RecursionError, SafetensorError, ConfigError) as error:
        raise ArtifactDamagedError(f"{path} holds no probe: {error}.\n  Delete it, and train the probe again.") from error


def _read(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SavedProbe:
    classes: Sequence[str] = facts["classes"]
    _require_shapes(tensors, len(classes))
    probe = LinearProbe(
        tensors["weight"],
        tensors["bias"],
        tuple(classes),
        tensors["log_balance"] if facts["balanced"] else None,
        facts["left_out"],
    )
    return SavedProbe(probe, Split(tensors["is_test"].numpy(), **facts["split"]), from_dict(ProbeTraining, facts["training"]))


def _require_shapes(tensors: Mapping[str, Tensor], n_classes: int) -> None:
    """Raises ValueError."""
    weight, is_test = tensors["weight"], tensors["is_test"]
    if weight.ndim != 2 or len(weight) != n_classes:
        raise ValueError(f"its weight is {list(weight.shape)}, not [{n_classes} classes, D]")
    for name in ("bias", "log_balance"):
        if tensors[name].shape != (n_classes,):
            raise ValueError(f"its {name} is {list(tensors[name].shape)}, not [{n_classes} classes]")
    if is_test.ndim != 1 or is_test.dtype != torch.bool:
        raise ValueError(f"its is_test is {is_test.dtype} {list(is_test.shape)}, not bool [N]")
