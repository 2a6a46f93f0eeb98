"""Excerpts of the text with what one latent does on each token: what explainers show and scorers ask about.

Two halves of the documents never meet: excerpts are asked for with `heldout=False` to explain and `heldout=True` to score. A
window counts as silent only where the latent's own codes say so, which an atlas knows of the contexts whose codes it keeps.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.bins import N_DECILES
from monoseme.atlas.evidence import Evidence
from monoseme.atlas.kept_windows import KeptWindows, Neighbour
from monoseme.atlas.pages import Example
from monoseme.atlas.relations import Relations, open_relations
from monoseme.atlas.split import is_heldout
from monoseme.core.seeds import derive_seed

_Kind = Literal["silent", "active", "random"]


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """A few tokens in a row, all from one context of one document, with one latent's activation on each."""

    document: int
    position: int
    """Of the focus in its document; of the first token where there is no focus."""
    source: str
    """What the document was cut from."""
    labels: dict[str, str]
    """Labels of the document, such as its domain."""
    role: str | None = None
    """Who speaks at the position in a conversation, one of `monoseme.text.ROLES`; None in plain text."""
    turn: int | None = None
    """Turn of the conversation at the position, from 0; None in plain text."""
    tokens: tuple[int, ...]
    texts: tuple[str, ...]
    values: tuple[float | None, ...]
    """The latent's activation on each token, 0 where it does not fire; None for a token that is kept from the SAE."""
    focus: int | None
    """Index of the firing it was chosen for; None where it was not chosen for one."""
    decile: int | None
    """The tenth of the latent's activations that its strongest is from, 0 the weakest; None where the latent is silent."""

    @property
    def text(self) -> str:
        """The tokens as one text."""
        return "".join(self.texts)

    @property
    def strongest(self) -> float:
        """The latent's largest activation in it; 0 where it is silent."""
        return max((value for value in self.values if value is not None), default=0.0)

    @property
    def is_active(self) -> bool:
        """Whether the latent fires in it."""
        return self.strongest > 0


class Excerpts:
    """Chooses excerpts of one (SAE, part); the same ones for the same arguments."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._windows: dict[int, KeptWindows] = {}

    @property
    def why_no_codes(self) -> str | None:
        """Why `silent`, `near_misses`, `active` and `random` give nothing for any latent; None where they can."""
        return self.evidence.why_no_codes

    @property
    def length(self) -> int:
        """Tokens of a window around a firing that no border cuts (count)."""
        keep = self.evidence.latents.artifact.config["scan"]["keep"]
        return int(keep["left"]) + 1 + int(keep["right"])

    def top(self, latent: int, n: int, *, heldout: bool) -> tuple[Excerpt, ...]:
        """The strongest firings, each of another document, the strongest first; fewer than n where there are not so many."""
        firings = sorted(self._firings(latent, heldout=heldout), key=lambda excerpt: -_at_focus(excerpt))
        return tuple(itertools.islice(_of_other_documents(firings), n))

    def by_decile(self, latent: int, per_decile: int, *, heldout: bool, seed: int = 0) -> tuple[Excerpt, ...]:
        """`per_decile` firings from each tenth of the activations, the weakest tenth first; each of another document in a tenth.

        Drawn from the uniform sample of firings; a tenth of which it holds fewer gives fewer.
        """
        firings = self._firings(latent, heldout=heldout)
        order = _shuffled(np.arange(len(firings)), "by_decile", latent, heldout=heldout, seed=seed).tolist()
        tenths = ([firings[i] for i in order if firings[i].decile == decile] for decile in range(N_DECILES))
        return tuple(excerpt for tenth in tenths for excerpt in itertools.islice(_of_other_documents(tenth), per_decile))

    def silent(self, latent: int, n: int, *, heldout: bool, length: int | None = None, seed: int = 0) -> tuple[Excerpt, ...]:
        """n windows drawn from those in which the latent does not fire. `length` None: as long as those around firings."""
        return self._draw("silent", latent, n, heldout=heldout, length=length, seed=seed)

    def active(self, latent: int, n: int, *, heldout: bool, length: int | None = None, seed: int = 0) -> tuple[Excerpt, ...]:
        """n windows drawn from those in which the latent fires: cut as silent ones are, so that nothing else tells them apart."""
        return self._draw("active", latent, n, heldout=heldout, length=length, seed=seed)

    def random(self, latent: int, n: int, *, heldout: bool, length: int | None = None, seed: int = 0) -> tuple[Excerpt, ...]:
        """n windows drawn from all, with what the latent does there."""
        return self._draw("random", latent, n, heldout=heldout, length=length, seed=seed)

    def near_misses(self, latent: int, n: int, *, heldout: bool, length: int | None = None) -> tuple[Excerpt, ...]:
        """The n silent windows that are hardest to tell: where the latent's neighbours fire strongest, the hardest first.

        Neighbours are the latents that fire on the same kept tokens and, in an atlas with relations, those that write nearly the
        same. Each window is of another document; fewer where neighbours fire in fewer.
        """
        windows = self._laid(length)
        if windows is None:
            return ()
        near = windows.nearness([*windows.neighbours(latent), *self._writing_alike(latent)])
        near[(windows.strongest(latent) > 0) | (windows.heldout != heldout)] = 0
        hardest = np.argsort(-near, kind="stable")[: int((near > 0).sum())]
        _, first = np.unique(windows.document[hardest], return_index=True)
        return tuple(self._window(latent, windows, int(hardest[i])) for i in np.sort(first)[:n])

    def _draw(self, kind: _Kind, latent: int, n: int, *, heldout: bool, length: int | None, seed: int) -> tuple[Excerpt, ...]:
        windows = self._laid(length)
        if windows is None:
            return ()
        allowed = windows.heldout == heldout
        if kind != "random":
            allowed &= (windows.strongest(latent) > 0) == (kind == "active")
        drawn = _shuffled(np.nonzero(allowed)[0], kind, latent, heldout=heldout, seed=seed)[:n]
        return tuple(self._window(latent, windows, int(window)) for window in drawn)

    def _writing_alike(self, latent: int) -> list[Neighbour]:
        """The latents whose decoder rows are nearest, as far as the atlas knows."""
        if self._relations is None:
            return []
        related = self._relations.of(latent)["cosine_rank"]
        return [Neighbour(one.other, one.cosine) for one in related if one.cosine is not None and one.cosine > 0]

    @functools.cached_property
    def _relations(self) -> Relations | None:
        latents = self.evidence.latents
        return open_relations(latents.artifact.path.parent.parent, latents)

    def _laid(self, length: int | None) -> KeptWindows | None:
        """The kept contexts in windows of that length; None where the atlas keeps none."""
        kept = self.evidence.kept
        length = length or self.length
        if kept is not None and length not in self._windows:
            self._windows[length] = KeptWindows(kept, length=length)
        return self._windows.get(length)

    def _firings(self, latent: int, *, heldout: bool) -> list[Excerpt]:
        """The firings kept of one half of the documents, by document and position."""
        latents = self.evidence.latents
        row = latents.row(latent)
        shown = latents.examples(row)
        sampled = latents.firings(latent)
        if sampled is None:  # an atlas from before windows were kept of all
            sampled = tuple(example for decile in shown.deciles for example in decile.examples)
        found = {(example.document, example.position): example for example in shown.top + sampled}
        documents = np.array([document for document, _ in found], dtype=np.int64)
        wanted = is_heldout(documents) == heldout
        kept = [example for example, is_wanted in zip(found.values(), wanted.tolist(), strict=True) if is_wanted]
        kept.sort(key=lambda example: (example.document, example.position))
        return [_of_example(example, row["deciles"]) for example in kept]

    def _window(self, latent: int, windows: KeptWindows, window: int) -> Excerpt:
        text = self.evidence.text
        document, position = int(windows.document[window]), int(windows.position[window])
        values = windows.values(latent, window).tolist()
        tokens = text.window(document, position, left=0, right=len(values) - 1).tokens.tolist()
        speaker = text.speaker_of(document, position)
        strongest = max(values)
        edges = self.evidence.latents.row(latent)["deciles"]
        return Excerpt(
            document=document,
            position=position,
            source=text.source_of(document, position),
            labels=text.labels_of(document),
            role=None if speaker is None else speaker.role,
            turn=None if speaker is None else speaker.turn,
            tokens=tuple(tokens),
            texts=tuple(text.token_text(token) for token in tokens),
            values=tuple(values),
            focus=None,
            decile=_decile(strongest, edges) if strongest > 0 else None,
        )


def _of_example(example: Example, edges: Sequence[float]) -> Excerpt:
    return Excerpt(
        document=example.document,
        position=example.position,
        source=example.source,
        labels=example.labels,
        role=example.role,
        turn=example.turn,
        tokens=example.tokens,
        texts=example.texts,
        values=example.values,
        focus=example.focus,
        decile=_decile(example.value, edges),
    )


def _at_focus(excerpt: Excerpt) -> float:
    return (excerpt.values[excerpt.focus] if excerpt.focus is not None else None) or 0.0


def _decile(value: float, edges: Sequence[float]) -> int:
    """Which tenth an activation is from; `edges` are the 11 of all firings."""
    return int((value >= np.asarray(edges[1:-1])).sum())


def _of_other_documents(excerpts: Iterable[Excerpt]) -> Iterator[Excerpt]:
    """The first of each document."""
    seen: set[int] = set()
    for excerpt in excerpts:
        if excerpt.document not in seen:
            seen.add(excerpt.document)
            yield excerpt


def _shuffled(items: NDArray[np.int64], *names: str | int, heldout: bool, seed: int) -> NDArray[np.int64]:
    """The items in an order of their own for each seed, use, latent and half."""
    return np.random.default_rng(derive_seed(seed, "excerpts", *names, int(heldout))).permutation(items)
