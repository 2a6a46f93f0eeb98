"""The scan: one pass over text gives the atlas of any number of SAEs.

Letters: n contexts of a block, S positions, D model width, F latents, V vocabulary.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from monoseme.atlas.scanning.feed import Target
from monoseme.atlas.scanning.files import LATENTS, gathered_folder, write_gathered
from monoseme.atlas.scanning.grid_log import read_grids
from monoseme.atlas.scanning.needs import ScannedModel, ScannedSource
from monoseme.atlas.scanning.one_pass import Contexts, OnePass, PassOptions, grids_file
from monoseme.atlas.scanning.plan import ScanConfig, ScanPlan
from monoseme.atlas.scanning.scratch import held_scratch, rank_folder
from monoseme.atlas.scanning.text_draft import TextNames, add_text
from monoseme.atlas.text_store import TextWriter
from monoseme.core.artifact import exists_error, open_artifact
from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError, EmptyCorpusError, SiteError


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
    options: PassOptions | None = None,
) -> ScanResult:
    """Pass once over `source` and write the atlas of all targets into `folder`.

    A folder that holds an atlas of the same text gets the new SAEs beside the old ones. `model` gives the unembedding for direct
    logit attribution and the text of tokens; without it logits are missing with that reason and `names` shows the tokens.
    With `options.resume`, what an earlier scan wrote of the targets stays, and one that was stopped goes on, to the same bits.

    Raises ArtifactExistsError (an SAE scanned before, a stopped scan, or another text), SiteError, EmptyCorpusError,
    DiskFullError, Interrupted after Ctrl-C or SIGTERM.
    """
    started, folder, options = time.monotonic(), Path(folder), options or PassOptions()
    _check(source, targets, folder, resume=options.resume)
    whole = ScanPlan(source, tuple(targets), config or ScanConfig(), model, options)
    plan = whole.lacking(folder)
    if plan.targets:
        folder.mkdir(parents=True, exist_ok=True)
        with held_scratch(plan.scratch(folder), options.processes, resume=options.resume, command=options.resume_command) as own:
            _pass_and_write(plan, folder, own, _complete(names, model))
    keys = tuple(key for target in targets for key in target.keys)
    n_tokens = open_artifact(latents_folder(folder, keys[0]), kind="atlas").config["n_tokens"]
    return ScanResult(folder, keys, n_tokens, time.monotonic() - started)


def _pass_and_write(plan: ScanPlan, folder: Path, own: Path, names: TextNames) -> None:
    processes, config = plan.options.processes, plan.config
    contexts = Contexts.of(plan.source)
    one_pass = OnePass(plan.source, contexts, plan.feeds(contexts, own), own, plan.options)
    one_pass.run(gap=config.keep.gap, only=config.only)
    processes.wait()
    if processes.rank > 0:
        return
    each = [rank_folder(own.parent, rank) for rank in range(processes.size)]
    for other in each[1:]:
        one_pass.take(other, plan.feeds(contexts, other))
    if not any(feed.gathered[0].n_rows for feed in one_pass.feeds):
        raise EmptyCorpusError(f"no token of the text reached the SAEs: it is empty, or all of it is masked{config.only.told}.")

    def fill(writer: TextWriter) -> None:
        for grid in read_grids([grids_file(one) for one in each], plan.source.n_blocks):
            writer.add(grid)

    text = add_text(folder, fill, names, scratch=own)
    about = {"scan": to_dict(config), "source": plan.source.spec}
    for feed in one_pass.feeds:
        write_gathered(folder, feed, plan.specs(feed.target, 0), text, about=about, model=plan.model)


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
