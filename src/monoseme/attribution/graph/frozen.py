"""A forward in which everything but the residual stream's own path is held still, so that the model is linear in what it reads.

| operation | rule | so that |
|---|---|---|
| attention | its pattern is a constant: no gradient through softmax, queries, keys | heads move what values bring |
| norm | the factor 1 / rms, or 1 / standard deviation, is a constant | it is a product with a vector |
| activation function | act(h) = h s(h) with s(h) = act(h) / h a constant | it keeps what it gave: its secant |
| product of a gate and what it gates | half of the gradient to each factor | the halves add up to the product |
| cap on logits, c tanh(z / c) | its secant | as for activation functions |

No value changes, only gradients. For a number y that the model computes without biases, the gradient times the input then adds up
to y itself, over all inputs that cut the model in two; with biases, what is missing is theirs.

Done by catching torch's functions while the model runs (`TorchFunctionMode`), so that it holds for every family of
transformers whose attention is `eager` or `sdpa` and needs nothing of their code.
Source: frozen patterns and norms: Ameisen et al. 2025, "Circuit Tracing", section "Attribution graphs"; Dunefsky et al. 2024,
arXiv:2406.11944, section 3.2. Secants and halves: the identity and half rules of Achtibat et al. 2024 (AttnLRP),
arXiv:2402.05602, and Jafari et al. 2025 (RelP), arXiv:2508.21258.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from monoseme.core.errors import ModelError
from monoseme.tensors.shapes import Tensor

_ACTIVATIONS = frozenset({functional.silu, functional.gelu, functional.relu, torch.relu, torch.sigmoid})
_SOFTMAX = frozenset({functional.softmax, torch.softmax, Tensor.softmax})
_SCALES = frozenset({torch.rsqrt, Tensor.rsqrt, torch.erf, Tensor.erf})
"""Constants altogether: the scale of a norm, and the gate of a GELU that is written out."""
_TANH = frozenset({torch.tanh, Tensor.tanh})
_PRODUCTS = frozenset({torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__})


class Frozen(TorchFunctionMode):
    """A `with` block around one forward. `capped`: the model caps its logits by a tanh (else a tanh is the gate of a GELU)."""

    def __init__(self, *, capped: bool) -> None:
        super().__init__()
        self.n_attentions = 0
        """Softmaxes and attentions that were held still so far."""
        self._tanh = _secant if capped else _constant
        # By id, with the tensor: an id alone could come to name another tensor.
        self._gates: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """What torch calls in place of each of its functions."""
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return self._attention(func, args, kwargs)
        if func in _SOFTMAX:
            self.n_attentions += 1
            return func(*args, **kwargs).detach()
        if func in _SCALES:
            return _constant(func, args, kwargs)
        if func in _TANH:
            return self._tanh(func, args, kwargs)
        if func is functional.layer_norm:
            return _layer_norm(*args, **kwargs)
        if func is functional.rms_norm:
            return _rms_norm(*args, **kwargs)
        if func in _ACTIVATIONS:
            gate = _secant(func, args, kwargs)
            self._gates[id(gate)] = gate
            return gate
        if func in _PRODUCTS and self._gates and any(id(arg) in self._gates for arg in args):
            return self._halved(*args)
        return func(*args, **kwargs)

    def require_attentions(self, n: int) -> None:
        """Raises ModelError when fewer than `n` attentions came by: then another implementation computed them."""
        if self.n_attentions < n:
            raise ModelError(
                f"only {self.n_attentions} of {n} attention patterns could be held still: this implementation of attention is "
                "not known.\n  Load the model with  --model.attention eager"
            )

    def _attention(self, func: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        self.n_attentions += 1
        named = dict(zip(("query", "key", "value"), args[:3], strict=False)) | kwargs
        query, key, value = (named.pop(name) for name in ("query", "key", "value"))
        return func(query.detach(), key.detach(), value, *args[3:], **named)

    def _halved(self, a: Any, b: Any) -> Any:
        """The product, with half of the gradient to each factor; another number times a gate is an ordinary product."""
        if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.requires_grad and b.requires_grad):
            return a * b
        half = (a.detach() * b + a * b.detach()) / 2
        return (a.detach() * b.detach()) + (half - half.detach())


def _constant(func: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return func(*args, **kwargs).detach()


def _secant(func: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """func(h), with the gradient of h times the constant func(h) / h; where h is 0, its own slope there is not asked for."""
    h = args[0] if args else kwargs["input"]
    value = func(*args, **kwargs).detach()
    slope = torch.where(h == 0, 0.0, value / torch.where(h == 0, 1.0, h)).detach()
    return value + (h - h.detach()) * slope


def _layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Centred, times a constant for each row; the very value of torch's own."""
    value = functional.layer_norm(input, normalized_shape, weight, bias, eps).detach()
    dims = tuple(range(-len(normalized_shape), 0))
    scale = (input.var(dims, unbiased=False, keepdim=True) + eps).rsqrt().detach()
    moved = (input - input.mean(dims, keepdim=True)) * scale
    moved = moved if weight is None else moved * weight
    return value + (moved - moved.detach())


def _rms_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    value = functional.rms_norm(input, normalized_shape, weight, eps).detach()
    dims = tuple(range(-len(normalized_shape), 0))
    scale = (input.square().mean(dims, keepdim=True) + (torch.finfo(input.dtype).eps if eps is None else eps)).rsqrt().detach()
    moved = input * scale
    moved = moved if weight is None else moved * weight
    return value + (moved - moved.detach())
