"""Smoothness as T-SAE's own `evaluation.py` measures it, for comparison with its tables.

Each context is one signal, whatever documents it holds; numbers are made per context and averaged over contexts.

Letters: A latents that fire in the context, T its unmasked tokens.
Source: AI4LIFE-GROUP/temporal-saes, `evaluation.py`. Its groups beyond the second are mixed up there; parts are kept apart here.
"""

import torch

from monoseme.evaluation._bootstrap import ratio
from monoseme.evaluation._formula import Formula, formula
from monoseme.evaluation._smoothness_sums import steepest
from monoseme.tensors.shapes import Float, Tensor

_EPS = 1e-10
_LAGS = (1, 2, 4, 8)


def context_sums(signals: Float[Tensor, "A T"], moved: Float[Tensor, " T_less_1"]) -> dict[str, float]:
    """Each number of one context with `has_*` 1, or 0 with 0 where it does not exist there."""
    numbers = {
        "tv": float(signals.diff(dim=1).abs().sum()),
        "l0": float(len(signals)),
        "lipschitz": float(steepest(signals, moved).mean()),
        "fft": _fft(signals),
        "wavelet": _wavelet(signals),
        "multiscale_variance": _multiscale(signals, is_gradient=False),
        "multiscale_gradient": _multiscale(signals, is_gradient=True),
    }
    found: dict[str, float] = {}
    for name, value in numbers.items():
        exists = bool(torch.tensor(value).isfinite())
        found |= {f"tsae_{name}": value if exists else 0.0, f"has_tsae_{name}": float(exists)}
    return found


def _fft(signals: Float[Tensor, "A T"]) -> float:
    if signals.shape[1] < 2 or not len(signals):
        return float("nan")
    power = torch.fft.rfft(signals, dim=1).abs().square()
    half = power.shape[1] // 2
    return float((power[:, half:].sum(1) / (power[:, :half].sum(1) + _EPS)).mean())


def _wavelet(signals: Float[Tensor, "A T"]) -> float:
    detail = signals.new_zeros(())
    for _ in range(3):
        if signals.shape[1] < 2:
            break
        paired = signals[:, : signals.shape[1] // 2 * 2]
        even, odd = paired[:, ::2], paired[:, 1::2]
        detail = detail + ((even - odd) / 2).square().sum()
        signals = (even + odd) / 2
    return float(ratio(detail, signals.square().sum()))


def _multiscale(signals: Float[Tensor, "A T"], *, is_gradient: bool) -> float:
    lags = [lag for lag in _LAGS if lag < signals.shape[1]]
    if not lags:
        return float("nan")
    scales = [_scale(signals[:, lag:] - signals[:, :-lag], lag, is_gradient=is_gradient) for lag in (lags[0], lags[-1])]
    return scales[0] / scales[1] if scales[1] else float("nan")


def _scale(change: Float[Tensor, "A _"], lag: int, *, is_gradient: bool) -> float:
    if is_gradient:
        return float(change.abs().mean(1).mean() / lag)
    # The unbiased variance of a single difference does not exist; torch would warn of it.
    return float(change.var(1).mean()) if change.shape[1] > 1 else float("nan")


def _of(name: str, text: str, *, unit: str) -> Formula:
    return formula(
        f"smoothness_{name}_as_tsae",
        f"T-SAE's {text}, whole contexts across documents; mean over contexts.",
        lambda s: ratio(s[f"tsae_{name}"], s[f"has_tsae_{name}"]),
        unit=unit,
        better="lower",
        counted=f"has_tsae_{name}",
        why_missing="no context has this number: too few tokens, or no latent fires",
    )


AS_TSAE = (
    _of("tv", "`smoothness_tv`: Σ_t Σ_j |f_t − f_(t−1)|, not divided by the number of tokens", unit="activation"),
    _of("lipschitz", "`lipschitz_cont`: mean over active latents of max_t |Δf_t| / ‖Δx_t‖", unit="ratio"),
    _of(
        "fft", "`fft`: mean over active latents of energy in the upper half of the rfft's bins / in the lower half", unit="ratio"
    ),
    _of("wavelet", "`wavelet`: Σ detail energy of three levels of (even ± odd)/2 / Σ energy of the last average", unit="ratio"),
    _of(
        "multiscale_variance",
        "`multiscale`: mean over active latents of var_t(f_(t+s) − f_t), smallest lag / largest of 1, 2, 4, 8 that fits",
        unit="ratio",
    ),
    _of("multiscale_gradient", "`multiscale` in its mode `gradient`: the same of mean |f_(t+s) − f_t| / s", unit="ratio"),
    _of("l0", "`sequence_l0`: number of latents that fire anywhere in the context", unit="latents"),
)
"""T-SAE's numbers. A context counts with the weight of its first document in the bootstrap."""
