"""What is kept of each latent under `work`: every text with its numbers, so that a resume goes on with the next latent.

latents/SUBJECT.json          the latents drawn, with their concepts
prompts.json                  token ids of the prompts
texts/SUBJECT/LATENT.json     {"shares", "unsteered": [text], "arms": {name: [[strength, [text]]]}, "left_out": {name: why}}
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monoseme.core.files import read_json, write_json
from monoseme.studies._kept_files import reading
from monoseme.studies._steering.concepts import Concept
from monoseme.studies._steering.outcome import Measured
from monoseme.studies._steering.subjects import SteeredLatent

Cell = tuple[float, Sequence[Measured]]
"""A strength, and one text for each prompt."""


@dataclass(frozen=True, kw_only=True)
class Steered:
    """All texts of one latent."""

    shares: tuple[float, float | None]
    """How frequent the tokens of the concept are in other text, and at most how frequent firings of the independent set."""
    unsteered: Sequence[Measured]
    arms: Mapping[str, Sequence[Cell]]
    left_out: Mapping[str, str]
    """Way that could not be tried -> why."""


def write_steered(path: Path, steered: Steered) -> None:
    """Whole or not at all. Raises DiskFullError."""
    write_json(
        path,
        {
            "shares": list(steered.shares),
            "unsteered": [asdict(text) for text in steered.unsteered],
            "arms": {
                name: [[strength, [asdict(text) for text in texts]] for strength, texts in cells]
                for name, cells in steered.arms.items()
            },
            "left_out": dict(steered.left_out),
        },
    )


def read_steered(path: Path) -> Steered:
    """What `write_steered` wrote. Raises ArtifactDamagedError."""
    with reading(path):
        kept = read_json(path)
        share, independent = kept["shares"]
        return Steered(
            shares=(share, independent),
            unsteered=_texts(kept["unsteered"]),
            arms={name: [(strength, _texts(texts)) for strength, texts in cells] for name, cells in kept["arms"].items()},
            left_out=kept["left_out"],
        )


def _texts(kept: Sequence[Mapping[str, Any]]) -> list[Measured]:
    return [
        Measured(**{name: value for name, value in text.items() if name != "distinct"}, distinct=tuple(text["distinct"]))
        for text in kept
    ]


def write_latents(path: Path, latents: Sequence[SteeredLatent]) -> None:
    """Whole or not at all. Raises DiskFullError."""
    write_json(path, [each._asdict() | {"concept": each.concept._asdict()} for each in latents])


def read_latents(path: Path) -> list[SteeredLatent]:
    """What `write_latents` wrote. Raises ArtifactDamagedError."""
    with reading(path):
        return [_latent(each, each["concept"]) for each in read_json(path)]


def _latent(kept: dict[str, Any], concept: dict[str, Any]) -> SteeredLatent:
    tokens = tuple(int(token) for token in concept.pop("tokens"))
    return SteeredLatent(**{name: value for name, value in kept.items() if name != "concept"}, concept=Concept(tokens, **concept))
