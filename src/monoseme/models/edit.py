"""Edits: interventions at a site, as values.

An edit is called in the middle of a forward with the tensor at its site and the context, and returns the tensor with which the
model goes on. It must not write into `x`: the model may still hold it.

Letters: n sequences, S positions.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from monoseme.models.site import Site
from monoseme.tensors.shapes import Bool, Float, Int, Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class EditContext:
    """What an edit may know about the forward that it is part of.

    Under a KV cache a forward sees only the new tokens: S is then 1, and `positions` says where they are.
    """

    tokens: Int[Tensor, "n S"]
    """Token ids of this forward."""
    mask: Bool[Tensor, "n S"]
    """True where an edit may act: not padding, not a special token unless asked for."""
    positions: Int[Tensor, "n S"]
    """0-based position in the sequence, padding not counted (0 on padding)."""
    row: Int[Tensor, " n"]
    """Which of the caller's sequences each row is."""
    is_prompt: Bool[Tensor, "n S"]
    """True for tokens given, False for tokens generated."""
    scratch: dict[Any, Any] = field(default_factory=dict)
    """Shared by all edits of one forward, empty at its start."""
    state: tuple[dict[Any, Any], ...] = ()
    """One dictionary per row that lives as long as its sequence, over all forwards of a generation."""


@runtime_checkable
class Edit(Protocol):
    """An intervention: a site, and a function of the tensor there."""

    @property
    def site(self) -> Site:
        """Where it acts."""
        ...

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        """The tensor with which the model goes on: shape, dtype and device of `x`."""
        ...


@dataclass(frozen=True, eq=False)
class FunctionEdit:
    """An edit made of a function `(x, context) -> x`."""

    site: Site
    function: Callable[[Tensor, EditContext], Tensor]

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        """Calls the function."""
        return self.function(x, context)


@dataclass(frozen=True, eq=False)
class Look:
    """An edit that changes nothing. Requests that are written together share the work of looks with equal `key`, which must then
    look at their site in the same way; each hears what became of its own rows.
    """

    site: Site
    key: Hashable | None
    """None: a request's own work, which is not shared."""
    work: Callable[[Tensor, EditContext], Any]
    """What is made of the tensor where the context's mask is True; None: nothing to hear yet."""
    hear: Callable[[Any, EditContext, Bool[Tensor, "n S"]], None]
    """Takes what was made, the context it was made in, and which rows of it are its own."""

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        """The tensor itself; all rows are its own."""
        if bool(context.mask.any()) and (made := self.work(x, context)) is not None:
            self.hear(made, context, context.mask)
        return x


def replacement(site: Site, x: Float[Tensor, "n S D"]) -> FunctionEdit:
    """An edit that puts `x` at `site`, at every position, whatever the mask says."""
    return FunctionEdit(site, lambda there, _: x.to(device=there.device, dtype=there.dtype))
