"""The scan: one pass over text gives the atlas of any number of SAEs.

Letters: n contexts of a block, S positions, D model width, F latents, V vocabulary.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from monoseme.atlas.feed import Feed, Gathered, Target, block_rows
from monoseme.atlas.logits import Unembedding, direct_logits, why_no_logits
from monoseme.atlas.needs import ScannedBlock, ScannedModel, ScannedSource
from monoseme.atlas.state import StateConfig
from monoseme.atlas.store import LogitFacts, write_latents
from monoseme.atlas.text_draft import TextNames, add_text
from monoseme.atlas.text_store import TextStore, TextWriter, TokenGrid
from monoseme.core.artifact import exists_error, new_artifact
from monoseme.core.config import to_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, EmptyCorpusError, ModelError, SiteError


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

    def __post_init__(self) -> None:
        for name in ("n_per_decile", "n_logit_tokens", "rows_per_encode"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, but must be at least 1.")


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
    resume: bool = False,
) -> ScanResult:
    """Pass once over `source` and write the atlas of all targets into `folder`.

    A folder that holds an atlas of the same text gets the new SAEs beside the old ones. `model` gives the unembedding for direct
    logit attribution and the text of tokens; without it logits are missing with that reason and `names` shows the tokens.
    With `resume`, what an earlier scan has written of the targets (some sites of an SAE with codes for each) is kept.

    Raises ArtifactExistsError (an SAE scanned before, or another text), SiteError, EmptyCorpusError, DiskFullError.
    """
    config = config or ScanConfig()
    started = time.monotonic()
    folder = Path(folder)
    _check(source, targets, folder, resume=resume)
    names = _complete(names, model)
    feeds = [Feed(target, config.keep, rows_per_encode=config.rows_per_encode) for target in targets]
    text = add_text(folder, lambda writer: _pass(source, feeds, writer, config.keep), names)
    for feed in feeds:
        for number, gathered in enumerate(feed.gathered):
            if latents_folder(folder, gathered.key).exists():
                continue  # only with resume: the check has refused it otherwise
            facts = _logit_facts(feed, number, model, n_tokens=config.n_logit_tokens)
            described = {**_described(feed, number), "scan": to_dict(config), "source": source.spec}
            inputs = _inputs(feed.target, text, model)
            _write(folder, gathered, facts, described=described, inputs=inputs, text=text, config=config)
    keys = tuple(gathered.key for feed in feeds for gathered in feed.gathered)
    return ScanResult(folder, keys, feeds[0].gathered[0].state.n_rows, time.monotonic() - started)


def latents_folder(atlas: Path, key: str) -> Path:
    """Where the latents of one (SAE, part) lie in an atlas."""
    return atlas / "latents" / key


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


def _pass(source: ScannedSource, feeds: Sequence[Feed], writer: TextWriter, keep: StateConfig) -> None:
    with get_display().progress("scan", total=source.n_blocks, unit="blocks") as progress:
        for block in source.blocks():
            grid = _grid(block)
            writer.add(grid)
            rows = block_rows(grid, gap=keep.gap)
            for feed in feeds:
                feed.add(block.activations, rows)
            progress.advance()
    for feed in feeds:
        feed.flush()
    if not feeds[0].gathered[0].state.n_rows:
        raise EmptyCorpusError("no token of the text reached the SAEs: it is empty, or all of it is masked.")


def _grid(block: ScannedBlock) -> TokenGrid:
    columns = (block.tokens, block.mask, block.documents, block.positions, block.sources)
    tokens, mask, documents, positions, sources = (column.cpu().numpy() for column in columns)
    return TokenGrid(tokens, mask, documents, positions, sources)


def _logit_facts(feed: Feed, number: int, model: ScannedModel | None, *, n_tokens: int) -> LogitFacts:
    """Direct logit attribution of what the latents of code site `number` write, or why there is none."""
    outputs = feed.placed.outputs
    if len(outputs) > 1 and not feed.target.sae.codes_per_site:
        return LogitFacts(None, f"each latent writes to {len(outputs)} sites, with a vector for each")
    why = why_no_logits(outputs[number])
    if why is None and model is None:
        why = "the scan had no model, so there was no unembedding"
    if why is not None or model is None:
        return LogitFacts(None, why)
    try:
        unembedding = Unembedding(model.unembedding(), model.final_norm_scale(), model.spec.norm == "layer")
    except ModelError as error:
        return LogitFacts(None, str(error))
    w_dec, expected = feed.target.sae.state_dict().get("W_dec"), (feed.target.sae.n_latents, unembedding.weight.shape[0])
    if w_dec is None or w_dec.shape != expected:
        shape = "there is none" if w_dec is None else f"it has the shape {tuple(w_dec.shape)}"
        return LogitFacts(None, f"direct logit attribution needs W_dec of the shape {expected}, one vector a latent, but {shape}")
    return LogitFacts(direct_logits(w_dec, unembedding, n_tokens=n_tokens), None)


def _described(feed: Feed, number: int) -> dict[str, object]:
    """What the manifest says of one (SAE, part) at one code site."""
    state = feed.gathered[number].state
    return {
        "holds": "latents",
        "name": feed.target.name,
        "part": feed.target.part,
        "site": str(feed.placed.code_sites[number]),
        "inputs": [str(site) for site in feed.placed.inputs],
        "outputs": [str(site) for site in feed.placed.outputs],
        "n_latents": state.n_latents,
        "n_tokens": state.n_rows,
    }


def _inputs(target: Target, text: TextStore, model: ScannedModel | None) -> dict[str, str]:
    """Content hashes of what an atlas was made from."""
    inputs = {"text": text.content_hash, "sae": target.sae_hash or _hash_weights(target.sae.state_dict())}
    return inputs if model is None else {**inputs, "model": model.content_hash()}


def _write(
    folder: Path,
    gathered: Gathered,
    facts: LogitFacts,
    *,
    described: Mapping[str, object],
    inputs: Mapping[str, str],
    text: TextStore,
    config: ScanConfig,
) -> None:
    path, seeds = latents_folder(folder, gathered.key), {"sample": config.keep.seed}
    with new_artifact(path, kind="atlas", config=dict(described), inputs=dict(inputs), seeds=seeds) as draft:
        write_latents(draft.folder, gathered.state, logits=facts, text=text, n_per_decile=config.n_per_decile)


def _hash_weights(weights: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"
