"""The scan: one pass over text gives the atlas of any number of SAEs.

Letters: n contexts of a block, S positions, D model width, F latents, V vocabulary.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from monoseme.atlas.feed import Feed, Target
from monoseme.atlas.gatherer import GathererSpec
from monoseme.atlas.kept_codes_writer import MOST_KEPT_TOKENS, keep_codes
from monoseme.atlas.latent_gatherer import LatentGatherer
from monoseme.atlas.needs import ScannedModel, ScannedSource
from monoseme.atlas.one_pass import Contexts, make_feed, pass_over
from monoseme.atlas.roles import RoleFilter
from monoseme.atlas.scan_files import LATENTS, gathered_folder, write_gathered
from monoseme.atlas.state import StateConfig
from monoseme.atlas.store import LogitFacts
from monoseme.atlas.target_logits import target_logits
from monoseme.atlas.text_draft import TextNames, add_text
from monoseme.atlas.text_store import TextWriter
from monoseme.core.artifact import exists_error
from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError, SiteError


@dataclass(frozen=True, kw_only=True)
class ScanConfig:
    """How an atlas is made."""

    n_per_decile: int = 5
    """Examples shown from each tenth of a latent's activations (count)."""
    n_logit_tokens: int = 10
    """Tokens kept at each end of the direct logit attribution (count)."""
    rows_per_encode: int = 4096
    """Tokens encoded at once (count); bounds the memory of an encoder's pre-activations."""
    keep: StateConfig = field(default_factory=StateConfig)
    """What is kept per latent."""
    n_kept_tokens: int = 131_072
    """Tokens of whole contexts kept with all their codes (count, at most a million; 0: none): for relations between latents."""
    only: RoleFilter = field(default_factory=RoleFilter)
    """Roles and turns of a conversation whose tokens reach the SAEs."""

    def __post_init__(self) -> None:
        for name in ("n_per_decile", "n_logit_tokens", "rows_per_encode"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, but must be at least 1.")
        if not 0 <= self.n_kept_tokens <= MOST_KEPT_TOKENS:
            raise ConfigError(f"n_kept_tokens is {self.n_kept_tokens:,}, but must be between 0 and {MOST_KEPT_TOKENS:,}.")


class ScanResult(NamedTuple):
    """What a scan wrote."""

    folder: Path
    """The atlas."""
    keys: tuple[str, ...]
    """Names of the scanned (SAE, part) in it."""
    n_tokens: int
    """Tokens that reached the SAEs."""
    seconds: float
    """Whole scan, the model's forward included."""


def scan(
    source: ScannedSource,
    targets: Sequence[Target],
    folder: Path,
    *,
    config: ScanConfig | None = None,
    model: ScannedModel | None = None,
    names: TextNames | None = None,
    gatherers: Sequence[GathererSpec] = (),
    resume: bool = False,
) -> ScanResult:
    """Pass once over `source` and write the atlas of all targets into `folder`.

    A folder that holds an atlas of the same text gets the new SAEs beside the old ones. `model` gives the unembedding for direct
    logit attribution and the text of tokens; without it logits are missing with that reason and `names` shows the tokens.
    `gatherers`: what else is gathered of each SAE beside what `store.py` tells of.
    With `resume`, what an earlier scan has written of the targets (some sites of an SAE with codes for each) is kept.

    Raises ArtifactExistsError (an SAE scanned before, or another text), SiteError, EmptyCorpusError, DiskFullError.
    """
    config = config or ScanConfig()
    started = time.monotonic()
    folder = Path(folder)
    _check(source, targets, folder, resume=resume)
    names = _complete(names, model)
    if config.n_kept_tokens:
        gatherers = [keep_codes(config.n_kept_tokens, seed=config.keep.seed), *gatherers]
    feeds: list[Feed] = []
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".scan.", dir=folder) as scratch:

        def make(contexts: Contexts) -> list[Feed]:
            return [_feed(target, gatherers, contexts, Path(scratch), config=config, model=model) for target in targets]

        def fill(writer: TextWriter) -> None:
            feeds.extend(pass_over(source, writer, make, gap=config.keep.gap, only=config.only))

        text = add_text(folder, fill, names)
        about = {"scan": to_dict(config), "source": source.spec}
        for target, feed in zip(targets, feeds, strict=True):
            specs = [_latents(target, 0, config, model), *gatherers]
            write_gathered(folder, feed, specs, text, about=about, model=model)
    keys = tuple(gathered.key for feed in feeds for gathered in feed.gathered)
    return ScanResult(folder, keys, feeds[0].gathered[0].n_rows, time.monotonic() - started)


def latents_folder(atlas: Path, key: str) -> Path:
    """Where the latents of one (SAE, part) lie in an atlas."""
    return gathered_folder(atlas, LATENTS, key)


def _check(source: ScannedSource, targets: Sequence[Target], folder: Path, *, resume: bool) -> None:
    if not targets:
        raise ConfigError("a scan needs at least one SAE.")
    keys = [target.key for target in targets]
    for target in targets:
        if keys.count(target.key) > 1:
            raise ConfigError(f'two SAEs to scan are both called "{target.key}". Give each a name of its own.')
        if set(target.key) & set("/\\\0") or target.key.startswith("."):
            raise ConfigError(f'"{target.key}" cannot name an SAE in an atlas: it names a folder there.')
        for site in target.placed.inputs:
            if site not in source.sites:
                held = ", ".join(str(site) for site in source.sites)
                raise SiteError(f"{target.name} reads {site}, but the activations hold {held}.")
        for key in target.keys:
            if not resume and latents_folder(folder, key).exists():
                raise exists_error(latents_folder(folder, key))


def _complete(names: TextNames | None, model: ScannedModel | None) -> TextNames:
    names = names or TextNames()
    if model is None:
        return names
    texts, n_vocabulary = names.texts, names.n_vocabulary
    return names._replace(texts=texts or model.decode_tokens, n_vocabulary=n_vocabulary or model.spec.vocab_size)


def _feed(
    target: Target,
    gatherers: Sequence[GathererSpec],
    contexts: Contexts,
    scratch: Path,
    *,
    config: ScanConfig,
    model: ScannedModel | None,
) -> Feed:
    specs = [[_latents(target, number, config, model), *gatherers] for number in range(len(target.keys))]
    return make_feed(target, specs, contexts, scratch, gap=config.keep.gap, rows_per_encode=config.rows_per_encode)


def _latents(target: Target, number: int, config: ScanConfig, model: ScannedModel | None) -> GathererSpec:
    """The gatherer of what `store.py` tells of."""

    def make(n_latents: int, *, n_contexts: int, context_len: int, scratch: Path) -> LatentGatherer:  # noqa: ARG001 as all are made
        def logits() -> LogitFacts:
            return target_logits(target, number, model, n_tokens=config.n_logit_tokens)

        return LatentGatherer(n_latents, config.keep, scratch, n_per_decile=config.n_per_decile, logits=logits)

    return GathererSpec(LATENTS, make)
