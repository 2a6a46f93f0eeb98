"""Which of the dictionaries are one SAE trained with several seeds, and which one architecture at several widths."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from monoseme.core.config import to_dict
from monoseme.pipeline import FoundSae, run_of
from monoseme.studies._dictionaries.members import Dictionary

_VARIED = r"\.(seed|n_latents)_?\d+"
"""In the names of SAEs that a sweep tells apart."""


class Family(NamedTuple):
    """Dictionaries that differ in one thing."""

    name: str
    """The kind of its members."""
    members: tuple[Dictionary, ...]


def kind_of(found: FoundSae) -> str:
    """What an SAE is called in its run, without its seed and width; its architecture outside of a run.

    An exported SAE may be of the architecture that all with thresholds become, so the name in the run says more.
    """
    if found.run is None:
        return found.named.sae.plugin_name
    folder = re.escape(run_of(found.path).path.name)
    own = re.sub(rf"^{folder}(@[^.]+)?\.", "", found.named.name)
    return re.sub(_VARIED, "", own) or own


def seed_families(dictionaries: Sequence[Dictionary]) -> list[Family]:
    """Those of equal settings but for the seed, at one place and of one part; two or more of each."""
    groups: dict[str, list[Dictionary]] = {}
    for d in dictionaries:
        settings = {key: value for key, value in to_dict(d.subject.sae.config).items() if key != "seed"}
        groups.setdefault(f"{d.kind} {sorted(settings.items(), key=str)}", []).append(d)
    held = [members for members in groups.values() if len(members) > 1]
    names = [members[0].kind for members in held]
    return [
        Family(name if names.count(name) == 1 else f"{name}, {members[0].subject.sae.n_latents} latents", tuple(members))
        for name, members in zip(names, held, strict=True)
    ]


def width_families(dictionaries: Sequence[Dictionary]) -> list[Family]:
    """Those of one architecture, place and part, by growing width: the first of each width; two widths or more."""
    groups: dict[str, dict[int, Dictionary]] = {}
    for d in dictionaries:
        groups.setdefault(f"{d.kind} {d.space.sites}", {}).setdefault(len(d.numbers), d)
    grown = [[by_width[n] for n in sorted(by_width)] for by_width in groups.values()]
    return [Family(members[0].kind, tuple(members)) for members in grown if len(members) > 1]
