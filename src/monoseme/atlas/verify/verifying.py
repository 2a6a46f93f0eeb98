"""Verifies an atlas against its manifest: what it was made from is hashed first, then a random sample is computed again.

What is compared, and how closely: `VerifyConfig`; what is not: ranked sentences, relations and effects are held against the hash
of the latents that they were made from, and are not computed again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.atlas import Atlas
from monoseme.atlas.latents import Latents
from monoseme.atlas.scanning.feed import Feed, Gathered, Target, block_rows
from monoseme.atlas.scanning.needs import ScannedModel, ScannedSource
from monoseme.atlas.scanning.one_pass import Contexts, grid_of
from monoseme.atlas.scanning.target_logits import target_logits
from monoseme.atlas.text_store import TextStore, TokenGrid
from monoseme.atlas.verify.checks import Check, Tally, Verification
from monoseme.atlas.verify.codes import CodeComparer
from monoseme.atlas.verify.inputs import check_chain, check_files, check_inputs
from monoseme.atlas.verify.tables import check_logits, check_tables
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """How much of an atlas is computed again, and how closely it must agree."""

    n_contexts: int | None = 256
    """Contexts computed again (count), rounded up to whole blocks, since the last bits of a code depend on them. None: all, and
    then counts must be equal."""
    seed: int = 0
    """Seed of the sample."""
    tolerance: float = 1e-4
    """Largest relative difference of an activation or a logit. On the machine of the scan all are equal; on others sums of
    float32 are taken in another order. A code that is missing on one side differs by 1."""
    rounding_share: float = 0.0
    """Share of codes, examples or counts that may differ by more. On another machine, or with another number of threads, a TopK
    takes the other of two codes that are equal to rounding, and an activation crosses the edge of a bin: 1e-4 is ample then."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a value out of range."""
        if self.n_contexts is not None and self.n_contexts < 1:
            raise ConfigError(f"n_contexts is {self.n_contexts}, but at least 1 context must be computed again.")
        if not 0.0 <= self.tolerance < 1.0:
            raise ConfigError(f"tolerance is {self.tolerance}; it must be at least 0 and below 1.")
        if not 0.0 <= self.rounding_share <= 0.01:
            raise ConfigError(f"rounding_share is {self.rounding_share}; rounding explains at most 0.01.")


def verify_atlas(
    atlas: Atlas,
    source: ScannedSource,
    targets: Sequence[Target],
    *,
    config: VerifyConfig | None = None,
    model: ScannedModel | None = None,
) -> Verification:
    """Verify the atlas of `targets` over `source`; those of other SAEs are held against their checksums only.

    Codes are computed again only where model, SAE and text are those of the scan. Raises ConfigError for an SAE that was not
    scanned.
    """
    config = config or VerifyConfig()
    contexts = Contexts.of(source)
    chosen = _chosen_blocks(source.n_blocks, contexts.per_block, config)
    checks = [check_files(atlas.path), check_chain(atlas)]
    comparers: list[CodeComparer] = []
    feeds: list[tuple[Feed, list[Latents]]] = []
    for target in targets:
        parts = [atlas.latents(key) for key in target.keys]
        found = [check_inputs(latents, target, source.spec, model) for latents in parts]
        checks += found + [check_tables(latents) for latents in parts]
        if not any(check.n_bad for check in found):
            checks += _logit_checks(parts, target, model, config.tolerance)
            own = [_comparer(latents, config) for latents in parts]
            comparers += own
            feeds.append((_feed(target, parts, own), parts))
    text = Tally("tokens, masks, roles, turns and sources of the text")
    if feeds:
        _recompute(source, chosen, contexts, feeds, atlas.text, text)
    is_all = len(chosen) == source.n_blocks
    checks += [text.done(), *(check for comparer in comparers for check in comparer.finish(is_all=is_all))]
    n_contexts = len(chosen) * contexts.per_block if feeds else 0
    return Verification(checks=tuple(checks), n_contexts=n_contexts, n_contexts_in_all=contexts.total, tolerance=config.tolerance)


def _comparer(latents: Latents, config: VerifyConfig) -> CodeComparer:
    return CodeComparer(latents, tolerance=config.tolerance, rounding_share=config.rounding_share)


def _chosen_blocks(n_blocks: int, per_block: int, config: VerifyConfig) -> list[int]:
    """The blocks to compute again, ascending."""
    wanted = n_blocks if config.n_contexts is None else min(n_blocks, math.ceil(config.n_contexts / per_block))
    draw = np.random.default_rng(derive_seed(config.seed, "verify"))
    return sorted(draw.choice(n_blocks, size=wanted, replace=False).tolist())


def _logit_checks(parts: Sequence[Latents], target: Target, model: ScannedModel | None, tolerance: float) -> list[Check]:
    """Direct logit attribution of each part that has any, where a model is given."""
    found = []
    for number, latents in enumerate(parts):
        n_tokens = int(latents.artifact.config["scan"]["n_logit_tokens"])
        again = target_logits(target, number, model, n_tokens=n_tokens).logits
        if again is not None and latents.row(0)["top_tokens"] is not None:
            found.append(check_logits(latents, again, tolerance=tolerance))
    return found


def _feed(target: Target, parts: Sequence[Latents], comparers: Sequence[CodeComparer]) -> Feed:
    scan = parts[0].artifact.config["scan"]
    gathered = [
        Gathered(latents.key, {"verify": comparer}, gap=_gap(latents)) for latents, comparer in zip(parts, comparers, strict=True)
    ]
    return Feed(target, gathered, rows_per_encode=int(scan["rows_per_encode"]))


def _gap(latents: Latents) -> int:
    keep = latents.artifact.config["scan"]["keep"]
    return int(keep["left"]) + int(keep["right"]) + 1


def _recompute(
    source: ScannedSource,
    chosen: Sequence[int],
    contexts: Contexts,
    feeds: Sequence[tuple[Feed, list[Latents]]],
    stored: TextStore,
    text: Tally,
) -> None:
    """Give the chosen blocks to all feeds, and compare their text with the stored one."""
    with get_display().progress("verify", total=len(chosen), unit="blocks") as progress:
        for number in chosen:
            block = next(iter(source.blocks(number)))
            grid = grid_of(block)
            _compare_text(grid, stored, text)
            for feed, parts in feeds:
                rows = block_rows(grid, gap=_gap(parts[0]), first_context=contexts.first_of(number, block), only=parts[0].only)
                feed.add(number, block.activations, rows)
            progress.advance()
    for feed, _ in feeds:
        feed.flush()


def _compare_text(grid: TokenGrid, stored: TextStore, tally: Tally) -> None:
    """Tokens of a block against those at their places; a packed BOS has no place of its own."""
    here = (grid.documents >= 0) & (grid.positions >= 0)
    documents, positions = grid.documents[here], grid.positions[here]
    offsets = stored.offsets_of(documents, positions)
    columns: dict[str, tuple[NDArray, NDArray]] = {
        "token": (grid.tokens[here], stored.tokens[offsets]),
        "mask": (grid.mask[here], stored.mask[offsets]),
        "source": (grid.sources[here], stored.sources_of(documents, positions)),
    }
    if grid.roles is not None and grid.turns is not None:
        plain = np.zeros(len(offsets), np.int16)
        columns["role"] = (grid.roles[here], plain if stored.roles is None else stored.roles[offsets])
        columns["turn"] = (grid.turns[here], plain if stored.turns is None else stored.turns[offsets])
    for what, (given, kept) in columns.items():
        tally.n += len(given)
        for i in np.nonzero(given != kept)[0].tolist():
            tally.fail(f"the {what} at document {documents[i]}, position {positions[i]} is another one")
