"""The lines of a card that need activations and the model alone: fidelity, sparsity, how often latents fire, smoothness."""

from collections.abc import Sequence

import numpy as np

from monoseme.core.config import to_dict
from monoseme.evaluation import EvalResult, Metric
from monoseme.evaluation.fidelity import Fidelity
from monoseme.evaluation.smoothness import Smoothness
from monoseme.studies._card.bench import CardBench
from monoseme.studies._card.lines import Filled, Pick, texts_of
from monoseme.studies._card.saebench_core import core_file
from monoseme.studies._measurements import results_of

FIDELITY = (
    Pick("fvu", "FVU", "Share of the variance that the reconstruction loses; 1 is no better than the mean."),
    Pick("ce_recovered", "CE recovered", "How much of the model's prediction survives the splice: 1 all, 0 as bad as zeros."),
    Pick("kl", "KL of the spliced model (nats)", "How far the spliced model's predictions are from the model's own."),
    Pick("l0", "L0", "Latents on at a token; compare the other lines at like L0 only."),
    Pick("l2_ratio", "length of the reconstruction", "Below 1, codes are shrunk."),
    Pick(
        "dead_fraction", "dead latents", "Share of latents that never fired on this text; rare ones count too when it is short."
    ),
    Pick(
        "dense_fraction", "dense latents", "Share of latents on at more than a tenth of the tokens; such rarely mean one thing."
    ),
    Pick("median_density", "density of the median latent", "How often the median of the latents that fire at all fires."),
)
SMOOTHNESS = (
    Pick(
        "smoothness_tv_to_shuffled",
        "variation over time, to shuffled",
        "How much codes change from token to token: 1 as in random order, lower where latents last.",
    ),
)
_SAEBENCH_OFF = 0.02
"""Difference to the right explained variance from which SAEBench's is told to be wrong."""


def fidelity(card: CardBench) -> Filled:
    """Reconstruction, the spliced model's loss, sparsity, and the density of the median latent."""
    config = card.config
    settings = Fidelity.Config(
        max_tokens=config.n_tokens, max_loss_tokens=config.n_loss_tokens, n_replicates=config.n_replicates, seed=config.seed
    )
    found = list(results_of(Fidelity(settings), card.eval_subjects(), card.work))
    metrics = {result.subject: [*result.metrics, _median_density(result)] for result in found}
    files = {
        name: content
        for result in found
        if result.subject in card.names
        for name, content in core_file(result, config=to_dict(settings)).items()
    }
    return Filled(metrics, _saebench_notes(found, card.names), texts_of(files))


def smoothness(card: CardBench) -> Filled:
    """How fast codes change."""
    settings = Smoothness.Config(
        max_tokens=card.config.n_tokens, n_replicates=card.config.n_replicates, as_tsae=False, fvu=False, seed=card.config.seed
    )
    found = results_of(Smoothness(settings), card.eval_subjects(), card.work)
    return Filled({result.subject: result.metrics for result in found})


def _median_density(result: EvalResult) -> Metric:
    density = np.asarray(result.tables["latents"]["density"])
    alive = density[density > 0]
    dead = result["dead_fraction"]
    return Metric(
        name="median_density",
        value=float(np.median(alive)) if len(alive) else None,
        why_missing=None if len(alive) else "no latent fired",
        unit="fraction",
        better="neither",
        n=dead.n,
        n_documents=dead.n_documents,
        definition="Median, over the latents that fire at all, of the share of tokens on which a latent fires.",
    )


def _saebench_notes(found: Sequence[EvalResult], names: Sequence[str]) -> list[str]:
    """Where SAEBench's explained variance cannot be used, and why."""
    notes: list[str] = []
    off: list[str] = []
    for result in found:
        right, theirs = result["explained_variance"].value, result["ev_as_saebench"].value
        if result.subject not in names or right is None:
            continue
        if theirs is None or theirs > 1.0:
            notes.append(
                f"SAEBench's explained variance is invalid for {result.subject}: the mean square of an entry of the activations "
                "is larger than their width, where its variance turns negative."
            )
        elif abs(theirs - right) > _SAEBENCH_OFF:
            off.append(f"{theirs:.3f} for {result.subject} (right: {right:.3f})")
    if off:
        notes.append(f"SAEBench's explained variance is wrong here, by its formula: {', '.join(off)}.")
    return notes
