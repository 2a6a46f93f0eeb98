"""Sends SAEs to the hub, or to a folder that stands in for it, with a card made from their run."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from monoseme.atlas import Annotation
from monoseme.atlas.annotations import read_explanations
from monoseme.core.errors import ConfigError
from monoseme.core.files import write_atomic
from monoseme.hub._atlas_bundle import atlas_card, fill_with_atlas
from monoseme.hub._bundle import (
    card_saes,
    files_of,
    fill_with_annotations,
    fill_with_format,
    fill_with_record,
    fill_with_saes,
    sendable_of,
)
from monoseme.hub._card import CardFacts, card_text, hub_name
from monoseme.hub._drafts import push_folder, room_for_files
from monoseme.hub._index import Index, write_index
from monoseme.hub._remote import Remote, Sending, remote_of
from monoseme.hub._repos import Repo, RepoWord, check_revision, parse_repo
from monoseme.hub._scrub import Scrubber
from monoseme.hub._sendable import Sendable
from monoseme.hub._source import Source, atlas_keys, chosen_annotations, source_of
from monoseme.pipeline import gathered_report
from monoseme.reports import RunReport, figures_of

_PICTURES = ("fvu_l0", "model_losses", "density", "training_fvu")
"""Figures of the report that are on a card, of those that there are."""
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,40}")


@dataclass(frozen=True, kw_only=True)
class PushConfig:
    """What is sent, and how."""

    revision: str | None = None
    """Branch that moves to what is sent, made where there is none. None: the main branch."""
    private: bool = False
    """A repository that is made is private; one that exists keeps what it is. Else: as the account has it."""
    licence: str | None = None
    """As the hub writes it: mit, apache-2.0, cc-by-4.0. None: the card says that none is stated."""
    message: str | None = None
    """What the revision says of itself. None: which SAEs it holds."""
    base_model: str | None = None
    """The language model's name on the hub, where the run named a folder."""
    explanations: str | None = None
    """Label of the explanations that travel, with their scores; none: none do. None: all of them."""
    atlas: bool = False
    """Send the whole atlas too, as the dataset OWNER/NAME-atlas."""
    format: str | None = None
    """Send the SAEs as this tool keeps them, instead of as monoseme does."""
    also: str | None = None
    """Send the SAEs as this tool keeps them too, in formats/NAME/."""
    dry_run: bool = False
    """Send nothing; tell what would be sent."""

    def __post_init__(self) -> None:
        if self.licence is not None and not _LICENCE.fullmatch(self.licence):
            raise ConfigError(
                f"{self.licence!r} is no licence as the hub writes them.\n  Such as: mit, apache-2.0, cc-by-4.0, other"
            )
        if self.base_model is not None and hub_name(self.base_model) is None:
            raise ConfigError(f"{self.base_model!r} is no name of a model on the hub: write owner/name.")
        if self.format is not None and self.also is not None:
            raise ConfigError("--format sends another tool's files instead, --also beside: give one of the two.")
        if self.format is not None and self.atlas:
            raise ConfigError("--format sends the SAEs as another tool keeps them, which knows no atlas.\n  Use --also instead.")
        if self.revision is not None:
            check_revision(self.revision)


class SentFile(NamedTuple):
    """A file of a repository."""

    name: str
    n_bytes: int


class Pushed(NamedTuple):
    """What a push sent, or would send."""

    repo: str
    address: str
    """Where a person finds it."""
    revision: str | None
    """Id of the revision; None where nothing was sent (`dry_run`)."""
    is_new: bool
    """False where the repository held the very same before."""
    files: tuple[SentFile, ...]
    card: str
    """README.md."""
    hashes_changed: tuple[str, ...]
    """Artifacts whose content hash is another there, as their settings named a path of this machine."""
    atlas: "Pushed | None" = None
    """The dataset of the atlas."""

    @property
    def n_bytes(self) -> int:
        """Size of all files (bytes)."""
        return sum(file.n_bytes for file in self.files)


class Card(NamedTuple):
    """A model card."""

    text: str
    """README.md: YAML at its head, then Markdown."""
    figures: dict[str, bytes]
    """File -> PNG."""


def push(source: str | Path, repo: str, config: PushConfig | None = None) -> Pushed:
    """Send a run or one of its SAEs to `repo`: owner/name, or the path of a repository in a folder.

    Pushing the same again changes nothing. What was interrupted leaves the repository as it was.
    Raises ArtifactMissingError, ArtifactDamagedError (nothing is sent), ConfigError, AddressError.
    """
    settings, word = config or PushConfig(), parse_repo(repo)
    settings = replace(settings, revision=word.revision_or(settings.revision))
    remote = remote_of(word)
    with _bundle(source, word, settings) as made:
        atlas = None if made.atlas is None else _sent(remote, word.repo.atlas, made.atlas, settings, made)
        return _sent(remote, word.repo, made.folder, settings, made)._replace(atlas=atlas)


def card(source: str | Path, repo: str, config: PushConfig | None = None) -> Card:
    """The card that `push` would send; nothing is sent. Raises what `push` raises before it sends."""
    with _bundle(source, parse_repo(repo), config or PushConfig()) as made:
        figures = {name: (made.folder / name).read_bytes() for name, _ in files_of(made.folder) if name.startswith("figures/")}
        return Card((made.folder / "README.md").read_text(encoding="utf-8"), figures)


class _Bundle(NamedTuple):
    folder: Path
    atlas: Path | None
    message: str
    changed: tuple[str, ...]


@contextlib.contextmanager
def _bundle(word: str | Path, to: RepoWord, config: PushConfig) -> Iterator[_Bundle]:
    """Everything that is sent, in folders that are gone afterwards."""
    source = source_of(str(word))
    scrubber = Scrubber.of_this_machine(_renamed(source.model, config.base_model))
    sendable = sendable_of(source, scrubber)
    keys = atlas_keys(source)
    held = chosen_annotations(source, [key for found in keys.values() for key in found], config.explanations)
    if config.atlas and not any(keys.values()):
        raise ConfigError("--atlas sends the atlas of these SAEs, and there is none.\n  Make one with:  monoseme scan")
    with push_folder() as temporary:
        folder, atlas = temporary / "saes", temporary / "atlas" if config.atlas else None
        with room_for_files():
            folder.mkdir()
            _fill(folder, source, to.repo, config, _Parts(scrubber, sendable, held))
            if atlas is not None and source.atlas is not None:
                atlas.mkdir()
                index = fill_with_atlas(atlas, source.atlas, keys, held, sendable)
                all_keys = [key for found in keys.values() for key in found]
                write_atomic(atlas / "README.md", atlas_card(atlas, source.atlas, to.repo, keys=all_keys, licence=config.licence))
                write_index(atlas, index)
        message = config.message or f"SAEs: {', '.join(source.saes)}"
        changed = tuple(str(path) for path in sendable.changed())
        yield _Bundle(folder, atlas, message, changed)


def _renamed(model: str | None, base_model: str | None) -> dict[str, str]:
    """A model in a folder of this machine is called by its name on the hub, where that is given; one that has a name keeps it."""
    is_here = model is not None and model != "bundled" and hub_name(model) is None
    return {model: base_model} if is_here and model is not None and base_model is not None else {}


class _Parts(NamedTuple):
    scrubber: Scrubber
    sendable: Sendable
    held: dict[str, list[Annotation]]


def _fill(draft: Path, source: Source, repo: Repo, config: PushConfig, parts: _Parts) -> None:
    """The repository of the SAEs."""
    report = _report(source, parts.held)
    labels: tuple[str, ...] = ()
    if config.format is None:
        index = fill_with_saes(draft, source, parts.sendable)
        fill_with_record(draft, source, parts.scrubber)
        labels = fill_with_annotations(draft, parts.held, parts.sendable)
        if config.also is not None:
            fill_with_format(draft, source, config.also, parts.scrubber, instead=False)
        index = index._replace(explanations=labels, atlas=str(repo.atlas) if config.atlas else None)
    else:
        places = fill_with_format(draft, source, config.format, parts.scrubber, instead=True)
        hashes = {name: parts.sendable.hash_of(path) for name, path in source.saes.items()}
        index = Index("foreign", places, hashes, (), None, config.format, {})
        labels = tuple(sorted({one.label for found in parts.held.values() for one in found if one.holds == "explanations"}))
    facts = _facts(source, repo, config, parts, index)
    pictures = [] if report is None else [figure for figure in figures_of(report) if figure.name in _PICTURES]
    for figure in pictures:
        figure.save(draft / "figures" / f"{figure.name}.png")
    told = tuple((f"figures/{figure.name}.png", figure.title, figure.caption) for figure in pictures)
    text = card_text(replace(facts, report=report, figures=told, explanations=labels))
    write_atomic(draft / "README.md", text)
    write_index(draft, index)


def _facts(source: Source, repo: Repo, config: PushConfig, parts: _Parts, index: Index) -> CardFacts:
    """What the card tells beside what was measured."""
    model, corpus = source.model, source.corpus
    return CardFacts(
        repo=repo,
        saes=card_saes(source, parts.sendable, index.saes),
        settings=parts.scrubber.clean(source.record.get("config", {})),
        model=None if model is None else parts.scrubber.model(model),
        base_model=config.base_model or hub_name(model),
        corpus=None if corpus is None else parts.scrubber.text(corpus),
        dataset=hub_name(corpus),
        licence=config.licence,
        revision=config.revision,
        atlas=repo.atlas if config.atlas else None,
        format=config.format,
        beside=config.also,
    )


def _report(source: Source, held: dict[str, list[Annotation]]) -> RunReport | None:
    """What was measured; explanations that do not travel are not on the card either."""
    if source.run is None:
        return None
    report = gathered_report(source.run, list(source.saes))
    said = {
        one.text for found in held.values() for part in found if part.holds == "explanations" for one in read_explanations(part)
    }
    saes = [
        replace(
            sae, samples=tuple(sample for sample in sae.samples if sample.explanation in said), scores=sae.scores if said else ()
        )
        for sae in report.saes
    ]
    return replace(report, saes=tuple(saes))


def _sent(remote: Remote, repo: Repo, folder: Path, config: PushConfig, made: _Bundle) -> Pushed:
    files = tuple(SentFile(*found) for found in files_of(folder))
    text = (folder / "README.md").read_text(encoding="utf-8")
    if config.dry_run:
        return Pushed(str(repo), remote.address(repo), None, False, files, text, made.changed)
    sending = Sending(revision=config.revision, private=config.private or None, message=made.message)
    done = remote.send(repo, folder, sending)
    return Pushed(str(repo), remote.address(repo), done.revision, done.is_new, files, text, made.changed)
