"""An edit in a forward that several requests share: it sees the rows of its own request, as if there were no others.

Letters: n rows of the forward, S its positions, D width.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from monoseme.core.errors import MonosemeError
from monoseme.models._forward import checked
from monoseme.models.edit import Edit, EditContext, Look
from monoseme.models.site import Site
from monoseme.tensors.shapes import Float, Tensor


@dataclass(frozen=True, eq=False)
class Own:
    """Which part of a forward belongs to a request."""

    first: int
    behind: int
    """Rows `first` to `behind` - 1."""
    width: int
    """Last positions that its longest row fills; those before are padding for longer rows of others."""
    whole: EditContext

    def of(self, x: Tensor) -> Tensor:
        """Its part of a tensor [n, S, ...]."""
        return x[self.first : self.behind, -self.width :]

    @functools.cached_property
    def context(self) -> EditContext:
        """The context of its rows alone; all its edits of one forward share it."""
        whole = self.whole
        return dataclasses.replace(
            whole,
            tokens=self.of(whole.tokens),
            mask=self.of(whole.mask),
            positions=self.of(whole.positions),
            row=whole.row[self.first : self.behind],
            is_prompt=self.of(whole.is_prompt),
            scratch={},
            state=whole.state[self.first : self.behind],
        )


@dataclass(frozen=True, eq=False)
class OwnRows:
    """An edit of one request."""

    edit: Edit
    own: Own
    fail: Callable[[MonosemeError], None]
    """Told what the edit raises. A forward that stops halfway would leave a cache in which layers differ in length."""

    @property
    def site(self) -> Site:
        """Where it acts."""
        return self.edit.site

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        """The tensor with the request's own rows changed."""
        del context  # of all rows
        before = self.own.of(x)
        try:
            after = checked(self.edit(before, self.own.context), before, self.edit)
        except MonosemeError as error:
            self.fail(error)
            return x
        if after is before:
            return x
        changed = x.clone()
        self.own.of(changed).copy_(after)
        return changed


@dataclass(eq=False)
class SharedWork:
    """What looks of one key share in a forward: it is done once, where the first of them comes by, for the rows of all."""

    whole: EditContext
    owners: list[Own] = field(default_factory=list)
    made: dict[Site, Any] = field(default_factory=dict)

    def at(self, look: Look, x: Tensor) -> Any:
        """What is made of the tensor at a site. Raises what the look's work raises, each time."""
        if look.site not in self.made:
            self.made[look.site] = look.work(x, self.context) if bool(self.context.mask.any()) else None
        return self.made[look.site]

    @functools.cached_property
    def context(self) -> EditContext:
        """The whole forward, where a row counts if it is of one of the owners."""
        mask = torch.zeros_like(self.whole.mask)
        for own in self.owners:
            own.of(mask).copy_(own.of(self.whole.mask))
        return dataclasses.replace(self.whole, mask=mask, scratch={})


@dataclass(frozen=True, eq=False)
class SharedLook:
    """A look of one request."""

    look: Look
    own: Own
    shared: SharedWork
    fail: Callable[[MonosemeError], None]

    @property
    def site(self) -> Site:
        """Where it looks."""
        return self.look.site

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        """The tensor itself."""
        del context  # without the owners
        try:
            made = self.shared.at(self.look, x)
        except MonosemeError as error:
            self.fail(error)
            return x
        mine = torch.zeros_like(self.own.whole.mask)
        self.own.of(mine).copy_(self.own.of(self.own.whole.mask))
        if made is not None and bool(mine.any()):
            self.look.hear(made, self.shared.context, mine)
        return x
