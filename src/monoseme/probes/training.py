"""Training of linear probes: one for each of several classes at once, or one alone; from memory, from files, or from a stream.

The loss is the binary cross-entropy of each class, mean over classes and examples, the positives of a class weighing as much as
its negatives: pos_weight = negatives / positives.

Source: Chanin et al. 2024, arXiv:2409.14507, and `probing.py` of its code. Differs: weights begin at 0, not at random, since the
loss is convex and a feature that never occurs then keeps the weight 0; classes without positives or negatives are left out, where
the original has infinite weights; the order of the examples hangs on a seed.
Letters: N examples, C classes, D features.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from monoseme.core.errors import ConfigError, TrainingError
from monoseme.probes._batches import ArrayExamples, Examples, StreamedExamples, times
from monoseme.probes.linear import LinearProbe
from monoseme.probes.settings import BINARY, ProbeTraining
from monoseme.tensors.shapes import Float, Int, Tensor

_DEFAULT = ProbeTraining()


def train_multi_probe(
    x: Any,
    y: Any,
    classes: Sequence[str],
    *,
    rows: NDArray[np.int64] | None = None,
    settings: ProbeTraining = _DEFAULT,
    device: torch.device | str = "cpu",
) -> LinearProbe:
    """Probes of all classes at once, on the CPU whatever `device` trained them.

    x: [N, D], a tensor, an array (`np.memmap` is read batch by batch) or SciPy's CSR, which is never made dense and stays on the
    CPU. y: [N, C], 1 where an example is of a class; several may be. `rows`: the examples to train on; None: all.
    Raises ConfigError for shapes that do not fit, or where no class has both positives and negatives.
    """
    truth = y.cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if truth.shape != (x.shape[0], len(classes)):
        raise ConfigError(f"y is {truth.shape}, but there are {x.shape[0]} examples and {len(classes)} classes")
    some = np.arange(len(truth)) if rows is None else np.asarray(rows)
    return _train(ArrayExamples(x, truth, some, batch_size=settings.batch_size, seed=settings.seed), classes, settings, device)


def train_streamed(
    read: Callable[[], Iterable[tuple[Any, Any]]],
    classes: Sequence[str],
    *,
    settings: ProbeTraining = _DEFAULT,
    device: torch.device | str = "cpu",
) -> LinearProbe:
    """As `train_multi_probe`, from batches (x [B, D], y [B, C]) that `read()` yields anew each time it is called.

    It is called once to count and once for each epoch. Batches are taken as they come: shuffle in `read`; `batch_size` and `seed`
    have no say.
    """
    return _train(StreamedExamples(read), classes, settings, device)


def train_binary_probe(
    x: Any,
    y: Any,
    name: str = "positive",
    *,
    rows: NDArray[np.int64] | None = None,
    settings: ProbeTraining = BINARY,
    device: torch.device | str = "cpu",
) -> LinearProbe:
    """A probe of one class; y: [N]."""
    return train_multi_probe(x, y.reshape(-1, 1), (name,), rows=rows, settings=settings, device=device)


def _train(examples: Examples, classes: Sequence[str], settings: ProbeTraining, device: torch.device | str) -> LinearProbe:
    kept, left_out = _kept(examples, classes)
    n_positive = examples.n_positive.cpu()[kept]
    balance = (examples.n - n_positive) / n_positive if settings.balanced else torch.ones(len(kept), dtype=torch.float64)
    fitted = _descend(examples, kept, balance, settings=settings, device=torch.device(device))
    if not bool(fitted.weight.isfinite().all()):
        raise TrainingError("the probe became NaN or infinite: look for such activations, or give a smaller lr")
    log_balance = balance.log().float() if settings.balanced else None
    kept_at: list[int] = kept.tolist()
    names = tuple(classes[i] for i in kept_at)
    return LinearProbe(fitted.weight.t().contiguous(), fitted.bias, names, log_balance, left_out)


def _kept(examples: Examples, classes: Sequence[str]) -> tuple[Int[Tensor, " C"], Mapping[str, str]]:
    """Classes that can be told apart from something, and why the others are left out."""
    n_positive = [int(n) for n in examples.n_positive.tolist()]
    empty = {
        name: f"none of the {examples.n:,} training examples is of it" if not n else "every training example is of it"
        for name, n in zip(classes, n_positive, strict=True)
        if n in (0, examples.n)
    }
    kept = [i for i, name in enumerate(classes) if name not in empty]
    if not kept:
        told = "; ".join(f"{name}: {why}" for name, why in empty.items())
        raise ConfigError(f"no class can be probed ({told}).\n  Give examples of more than one class.")
    return torch.tensor(kept), empty


class _Fitted(NamedTuple):
    weight: Float[Tensor, "D C"]
    bias: Float[Tensor, " C"]


def _descend(
    examples: Examples, kept: Int[Tensor, " C"], balance: Float[Tensor, " C"], *, settings: ProbeTraining, device: torch.device
) -> _Fitted:
    fitted: _Fitted | None = None
    optimiser: Any = None
    for epoch in range(settings.n_epochs):
        for x, y in examples.batches(epoch):
            is_dense = isinstance(x, Tensor)
            x, dtype = (x.to(device), x.dtype) if is_dense else (x, torch.from_numpy(x.data).dtype)
            if fitted is None:
                device = device if is_dense else torch.device("cpu")
                fitted = _start(examples.n_features, len(kept), device, dtype)
                optimiser = _optimiser(fitted, settings)
            _set_lr(optimiser, settings.lr_of(epoch))
            logits = times(x, fitted.weight) + fitted.bias
            wanted = y[:, kept].to(device, dtype)
            loss = functional.binary_cross_entropy_with_logits(logits, wanted, pos_weight=balance.to(device, dtype))
            if settings.l1:
                loss = loss + settings.l1 * fitted.weight.abs().sum(0).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    if fitted is None:
        raise ConfigError("there is no example to train a probe on")
    return _Fitted(*(part.detach().cpu() for part in fitted))


def _start(n_features: int, n_classes: int, device: torch.device, dtype: torch.dtype) -> _Fitted:
    zeros = (torch.zeros(n_features, n_classes, device=device, dtype=dtype), torch.zeros(n_classes, device=device, dtype=dtype))
    return _Fitted(*(part.requires_grad_() for part in zeros))


def _optimiser(fitted: _Fitted, settings: ProbeTraining) -> torch.optim.Optimizer:
    rule = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[settings.optimiser]
    trained = [fitted.weight] if settings.zero_bias else list(fitted)
    return rule(trained, lr=settings.lr, weight_decay=settings.weight_decay)


def _set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = lr
