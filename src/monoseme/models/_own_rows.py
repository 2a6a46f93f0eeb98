"""An edit in a forward that several requests share: it sees the rows of its own request, as if there were no others.

Letters: n rows of the forward, S its positions, D width.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

from monoseme.core.errors import MonosemeError
from monoseme.models._forward import checked
from monoseme.models.edit import Edit, EditContext
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
