"""One forward of a model under taps: captured tensors, edits, an early stop, blocks left out.

Letters: n sequences, S positions, V vocabulary.
"""

import contextlib
import functools
import inspect
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from monoseme.core.errors import ModelError, SiteError
from monoseme.models._family import Anatomy
from monoseme.models._float32 import quick_products
from monoseme.models._padding import hides_nothing, positions_of
from monoseme.models._taps import Reached, Tap, tapped
from monoseme.models.edit import Edit, EditContext
from monoseme.models.site import Site

WHOLE_ROWS = "it can only be run over whole rows.\n  Attribution: share_prefix=False. It cannot continue texts here."
"""What to do with a model without a cache of keys and values."""


class Call(NamedTuple):
    """What goes into a forward."""

    tokens: Tensor
    """int64 [n, S]"""
    real: Tensor | None = None
    """bool [n, S], or None for no padding."""
    mask: Tensor | None = None
    """bool [n, S]: where edits act; needed only with edits."""
    edits: tuple[Edit, ...] = ()
    captured: tuple[Site, ...] = ()


class CachedStep(NamedTuple):
    """Logits of the last position, the keys and values so far, and the tensors at the sites asked for."""

    logits: Tensor
    """[n, V]"""
    cache: Any
    captured: dict[Site, Tensor]


class Forward:
    """Runs one model's forwards, one at a time."""

    def __init__(self, model: nn.Module, anatomy: Anatomy, *, lock: threading.RLock) -> None:  # pyright: ignore[reportGeneralTypeIssues]
        """`lock` keeps threads apart: hooks belong to the modules, so a second forward would see the first one's edits."""
        self.lock = lock
        self._model = model
        self._anatomy = anatomy

    @property
    def device(self) -> torch.device:
        """Where token ids go: the embeddings' device."""
        return self._model.get_input_embeddings().weight.device  # pyright: ignore

    @property
    def blocks(self) -> nn.ModuleList:
        """The model's blocks, in order."""
        return self._anatomy.blocks

    def until(self, call: Call, sites: tuple[Site, ...]) -> dict[Site, Tensor]:
        """The tensors at `sites` after the edits there, the forward ended as soon as all are there."""
        taps, edited, captured = self._visitor(call._replace(captured=sites), self._context(call))

        def visit(site: Site, x: Tensor) -> Tensor:
            x = edited(site, x)
            if len(captured) == len(sites):
                raise Reached
            return x

        with self.lock, self.quickly(), tapped(taps, visit), contextlib.suppress(Reached):
            self._call(call)
        return {site: captured[site] for site in sites}

    def whole(self, call: Call, *, grad: bool) -> tuple[Tensor, dict[Site, Tensor]]:
        """Logits [n, S, V] and captured tensors. With `grad`, the embeddings begin a graph."""
        taps, visit, captured = self._visitor(call, self._context(call))
        with self.lock, self._rooted(grad), tapped(taps, visit):
            logits = self._call(call).logits
        return logits, captured

    def step(self, call: Call, context: EditContext, cache: Any, attended: Tensor) -> CachedStep:
        """A forward of new tokens on top of `cache` (None at the start); `attended` is bool [n, all tokens so far]."""
        taps, visit, captured = self._visitor(call, context)
        with self.lock, tapped(taps, visit):
            output = self._model(
                input_ids=call.tokens,
                attention_mask=attended.long(),
                position_ids=context.positions,
                past_key_values=cache,
                use_cache=True,
                **self._last_only,
            )
        cache = output.get("past_key_values")
        if cache is None:
            raise ModelError(f"{type(self._model).__name__} keeps no keys and values of what it has read: {WHOLE_ROWS}")
        return CachedStep(output.logits[:, -1], cache, captured)

    def last(self, call: Call) -> tuple[Tensor, dict[Site, Tensor]]:
        """Logits [n, V] of the last position, unembedded alone where the model can, and captured tensors."""
        taps, visit, captured = self._visitor(call, self._context(call))
        with self.lock, tapped(taps, visit):
            logits = self._call(call, **self._last_only).logits[:, -1]
        return logits, captured

    @contextlib.contextmanager
    def skipping(self, n_blocks: int) -> Iterator[None]:
        """Lets the residual stream pass the first `n_blocks` blocks unchanged, at no cost."""
        if n_blocks == 0:
            yield
            return
        blocks = list(self._anatomy.blocks)[:n_blocks]
        with self.lock:
            is_tuple = self._blocks_return_tuples
            # accelerate, too, puts a `forward` on the instance: what was there is put back.
            before = [block.__dict__.get("forward") for block in blocks]
            try:
                # Not by assignment: the blocks of TransformerLens' bridge pass that on to the block inside.
                for block in blocks:
                    block.__dict__["forward"] = functools.partial(_pass_through, is_tuple)
                yield
            finally:
                for block, forward in zip(blocks, before, strict=True):
                    del block.__dict__["forward"]
                    if forward is not None:
                        block.__dict__["forward"] = forward

    def quickly(self) -> contextlib.AbstractContextManager[None]:
        """What a forward runs in that asks for no gradient."""
        weight: Tensor = self._model.get_input_embeddings().weight  # pyright: ignore
        gains = weight.device.type == "cpu" and weight.dtype is torch.float32
        return quick_products() if gains else contextlib.nullcontext()

    def _taps(self, sites: tuple[Site, ...]) -> dict[Site, Tap]:
        return {site: self._anatomy.taps[site.layer][site.kind] for site in sites}

    def _visitor(self, call: Call, context: EditContext | None) -> tuple[dict[Site, Tap], Any, dict[Site, Tensor]]:
        """Taps, the function they call, and the dictionary it fills."""
        edits: dict[Site, list[Edit]] = {}
        for edit in call.edits:
            edits.setdefault(edit.site, []).append(edit)
        captured: dict[Site, Tensor] = {}

        def visit(site: Site, x: Tensor) -> Tensor:
            for edit in edits.get(site, []):
                assert context is not None
                x = checked(edit(x, context), x, edit)
            if site in wanted:
                captured[site] = x.clone() if self._anatomy.clone else x
            return x

        wanted = frozenset(call.captured)
        return self._taps((*edits, *wanted.difference(edits))), visit, captured

    def _context(self, call: Call) -> EditContext | None:
        if not call.edits:
            return None
        assert call.mask is not None
        n, length = call.tokens.shape
        device = self.device
        real = torch.ones_like(call.tokens, dtype=torch.bool) if call.real is None else call.real
        return EditContext(
            tokens=call.tokens.to(device),
            mask=call.mask.to(device),
            positions=positions_of(real).to(device),
            row=torch.arange(n, device=device),
            is_prompt=torch.ones(n, length, dtype=torch.bool, device=device),
            state=tuple({} for _ in range(n)),
        )

    def _call(self, call: Call, **extra: Any) -> Any:
        tokens = call.tokens.to(self.device)
        if call.real is None or hides_nothing(call.real):
            return self._model(input_ids=tokens, use_cache=False, **extra)
        real = call.real.to(self.device)
        padding = {"attention_mask": real.long(), "position_ids": positions_of(real)}
        return self._model(input_ids=tokens, use_cache=False, **padding, **extra)

    @contextlib.contextmanager
    def _rooted(self, grad: bool) -> Iterator[None]:
        """Makes the embeddings ask for a gradient: no weight does, so nothing else would begin a graph."""
        if not grad:
            yield
            return
        first = Site("resid_pre", 0)
        with tapped(self._taps((first,)), lambda _, x: x.detach().requires_grad_()):
            yield

    @functools.cached_property
    def _blocks_return_tuples(self) -> bool:
        """Found out by one forward of one token: versions of transformers differ."""
        kinds: list[bool] = []

        def note(_module: nn.Module, _args: Any, output: Any) -> None:
            kinds.append(isinstance(output, tuple))
            raise Reached

        handle = self._anatomy.blocks[0].register_forward_hook(note)
        try:
            with torch.no_grad(), contextlib.suppress(Reached):
                self._model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=self.device), use_cache=False)
        finally:
            handle.remove()
        return kinds[0]

    @functools.cached_property
    def _last_only(self) -> dict[str, Any]:
        """What tells the model to unembed the last position alone; nothing for one that cannot."""
        return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(self._model.forward).parameters else {}


def _pass_through(is_tuple: bool, *args: Any, **kwargs: Any) -> Any:
    """A block that does nothing."""
    x = args[0] if args else kwargs["hidden_states"]
    return (x,) if is_tuple else x


def checked(changed: Tensor, x: Tensor, edit: Edit) -> Tensor:
    """Raises SiteError when an edit gives something that the model cannot go on with."""
    if changed.shape != x.shape:
        raise SiteError(f"the edit at {edit.site} returned the shape {tuple(changed.shape)} for {tuple(x.shape)}")
    if changed.dtype != x.dtype:
        raise SiteError(f"the edit at {edit.site} returned {changed.dtype} for {x.dtype}: convert with x.dtype")
    return changed
