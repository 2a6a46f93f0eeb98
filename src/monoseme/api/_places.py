"""What a word, a path or a result means: the folder of a run, the words for SAEs, the atlas."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from monoseme.core.errors import ConfigError

if TYPE_CHECKING:
    from monoseme.atlas import Atlas

Place = Any
"""Something opened, or what the command line would be told: a run, RUN/saes/NAME, RUN@STEP, an atlas."""


def word_of(place: Any) -> str:
    """The word that names it on a command line. Raises ConfigError for what is no place."""
    path = place if isinstance(place, str | Path) else getattr(place, "path", None)
    if path is None:
        raise ConfigError(f"{place!r:.80} is no place.\n  Give a path, a word such as RUN/saes/NAME, or what ms.open gives")
    return str(path)


def new_place(out: Any) -> str | Path:
    """Where something is made, as it is given. Raises ConfigError for what is neither a text nor a Path."""
    if not isinstance(out, str | Path):
        raise ConfigError(
            f"out is {out!r:.80}.\n  Give a folder, or where a store goes an address (s3://...), as a text or a Path"
        )
    return out


def words_of(places: Any) -> tuple[str, ...]:
    """Of one place, of several, or of none."""
    if places is None:
        return ()
    several = places if isinstance(places, list | tuple) else [places]
    return tuple(word_of(place) for place in several)


def model_of(places: Any, model: str | Path | None = None) -> str | None:
    """The language model that is named, else the one that the places were opened with; None: that of their run.

    Raises ConfigError for places that were opened with different ones.
    """
    if model is not None:
        return str(model)
    several = places if isinstance(places, list | tuple) else [places]
    found = {each for place in several if (each := getattr(place, "in_model", None)) is not None}
    if len(found) > 1:
        raise ConfigError(f"these were opened with different models: {', '.join(sorted(found))}.\n  Open them with one.")
    return next(iter(found), None)


def atlas_at(place: Any) -> "Atlas":
    """The atlas of a run, or in a folder. Raises ArtifactMissingError."""
    from monoseme.pipeline import atlas_at, run_of

    return atlas_at(run_of(word_of(place)).path)


def saes_of(atlas: "Atlas", place: Any, name: str | None) -> list[str]:
    """The keys of the atlas that are meant: those of an opened SAE, the one named, or all. Raises ConfigError."""
    from monoseme.api._sae import Sae

    name = name or (place.key if isinstance(place, Sae) else None)
    if name is None:
        return atlas.saes()
    if name not in atlas.saes():
        raise ConfigError(f'this atlas has no SAE "{name}".\n  It has: {", ".join(atlas.saes())}')
    return [name]


def only_sae(atlas: "Atlas", name: str | None) -> str:
    """The SAE that is named, or the only one. Raises ConfigError where several could be meant."""
    from monoseme.pipeline import only_sae

    return only_sae(atlas, name, asked_by="sae=")
