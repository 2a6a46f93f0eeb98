"""Taps: reading and changing tensors inside a model by plain forward hooks.

A tap says on which module a site lies and on which side. While `tapped` is active, each visit calls back with the site's tensor;
what comes back goes on through the model.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from monoseme.core.errors import SiteError
from monoseme.models._heads import mixed_heads
from monoseme.models.site import Site

Visit = Callable[[Site, Tensor], Tensor]


class Tap(NamedTuple):
    """The side of a module on which a site lies."""

    module: nn.Module
    side: Literal["input", "output", "heads", "flat"]
    """`heads`: computed from both sides of W_O; a change moves the output by its sum over heads. `flat`: the output, with its
    axes behind the position laid side by side."""
    n_heads: int = 1
    """Heads that the input of W_O holds; only for `heads`."""


class Reached(Exception):
    """Raised inside a forward once nothing deeper is asked for."""


@contextlib.contextmanager
def tapped(taps: Mapping[Site, Tap], visit: Visit) -> Iterator[None]:
    """Calls `visit(site, x)` whenever a forward comes by one of `taps`; the hooks are gone afterwards."""
    handles = [_install(site, tap, visit) for site, tap in taps.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _install(site: Site, tap: Tap, visit: Visit) -> RemovableHandle:
    if tap.side == "input":
        return tap.module.register_forward_pre_hook(_before(site, visit), with_kwargs=True)
    if tap.side == "output":
        return tap.module.register_forward_hook(_after(site, visit))
    if tap.side == "flat":
        return tap.module.register_forward_hook(_after_flat(site, visit))
    return tap.module.register_forward_hook(_around_heads(site, visit, tap.n_heads))


def _before(site: Site, visit: Visit) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]] | None]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        x = args[0] if args else kwargs.get("hidden_states")
        if not isinstance(x, Tensor):
            raise SiteError(f"{site} cannot be read: {type(module).__name__} is called without a tensor in the first place")
        changed = visit(site, x)
        if changed is x:
            return None
        return ((changed, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": changed})

    return hook


def _after(site: Site, visit: Visit) -> Callable[..., Any]:
    # Blocks and attention modules return tuples in some versions of transformers and tensors in others.
    def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        x = first_tensor(output)
        changed = visit(site, x)
        if changed is x:
            return None
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return hook


def _after_flat(site: Site, visit: Visit) -> Callable[..., Any]:
    def hook(_module: nn.Module, _args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        x = output.flatten(2)
        changed = visit(site, x)
        return None if changed is x else changed.reshape(output.shape)

    return hook


def _around_heads(site: Site, visit: Visit, n_heads: int) -> Callable[..., Any]:
    def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        x = mixed_heads(module, args[0], n_heads)
        changed = visit(site, x)
        if changed is x:
            return None
        # Adding the difference keeps the output's very bits where nothing changed.
        return output + (changed - x).unflatten(-1, (n_heads, -1)).sum(-2)

    return hook


def first_tensor(output: Any) -> Tensor:
    """The hidden states in what a module returned."""
    return output[0] if isinstance(output, tuple) else output
