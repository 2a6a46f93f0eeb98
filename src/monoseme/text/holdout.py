"""Which sources are held out: a choice by hash, made once for each source, with every domain on both sides."""

from collections import defaultdict
from collections.abc import Sequence

from monoseme.core.seeds import derive_seed


class Holdout:
    """Assigns sources to training or held-out text, batch after batch of a growing corpus.

    A source is held out when the hash of its name with the seed falls below the fraction. Where that would leave a domain
    with none on one side, the source nearest to the border changes sides, as soon as the domain has two sources.
    The outcome is a function of the seed, the fraction and the order of the sources.
    """

    def __init__(self, *, fraction: float, seed: int) -> None:
        """Holds out `fraction` of the sources."""
        self._fraction, self._seed = fraction, seed
        self._chosen: dict[str, bool] = {}
        self._sides: dict[str, set[bool]] = defaultdict(set)

    def assign(self, sources: Sequence[str], domains: Sequence[str]) -> list[bool]:
        """For each source (repeats allowed), whether it is held out; `domains` is parallel to `sources`."""
        new: dict[str, list[str]] = defaultdict(list)
        for source, domain in dict(zip(sources, domains, strict=True)).items():
            if source not in self._chosen:
                new[domain].append(source)
        for domain, names in new.items():
            self._assign_domain(domain, names)
        return [self._chosen[source] for source in sources]

    def _assign_domain(self, domain: str, names: list[str]) -> None:
        place = {name: derive_seed(self._seed, "holdout", name) / 2**63 for name in names}
        for name in names:
            self._chosen[name] = place[name] < self._fraction
        sides = self._sides[domain]
        present = sides | {self._chosen[name] for name in names}
        # One source alone is for training; it has no second side to be on.
        if self._fraction > 0 and len(present) == 1 and (sides or len(names) > 1 or present == {True}):
            nearest = (max if True in present else min)(names, key=lambda name: place[name])
            self._chosen[nearest] = not self._chosen[nearest]
        sides.update(self._chosen[name] for name in names)
