"""The lines of a card on letters: how well few latents tell the first letter of a word, and how often they leave it to another.

They are measured only where the model itself knows the letters: what it does not know cannot be absorbed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.core.errors import ModelError
from monoseme.evaluation import Metric
from monoseme.studies._card.bench import CardBench
from monoseme.studies._card.controls import under_card_names
from monoseme.studies._card.lines import Filled, Pick, texts_of
from monoseme.studies._first_letter.bench import FirstLetterBench
from monoseme.studies._first_letter.config import FirstLetterConfig
from monoseme.studies.absorption import Absorption

LETTERS = (
    Pick("k_sparse_f1", "letters: F1 of few latents", "How well the main latents of a letter tell its words; if badly, what "
         "follows says nothing."),
    Pick("absorption_rate", "letters: absorption (ablation)", "Share of a letter's words that its latents leave to another one."),
    Pick("absorption_fraction", "letters: absorption fraction (projection)", "Of the letter in a word, the share held by other "
         "latents than its own."),
)  # fmt: skip
_LEAST_ACCURACY = 0.5
"""A model that names fewer first letters than this does not know the letters of its words."""
_LEAST_F1 = 0.6
"""Of the main latents, and of the probe: below it they are not the letter's. SAEBench's bound for the probe."""
_LEAST_LETTERS = 10
"""Letters whose probes can be trusted, without which there is no mean (count): half of what the study asks for, whose words are
more."""
_N_ASKED = 300
"""Words that the model is asked about first (count)."""
_N_ABLATED = 30
"""Words of a letter that are ablated at most (count)."""


def letters(card: CardBench) -> Filled:
    """Absorption on a few words, or a sentence why not."""
    asked = _accuracy(card)
    if isinstance(asked, str):
        return Filled(notes=[f"Absorption was not asked: {asked}"])
    config = card.config
    study = Absorption(
        Absorption.Config(
            sae=config.sae,
            part=config.part,
            model=config.model,
            words=config.words,
            n_words=config.n_words,
            least_letters=_LEAST_LETTERS,
            most_words=_N_ABLATED,
            partial=False,
            n_replicates=config.n_replicates,
            seed=config.seed,
        )
    )
    result = study.investigate(card.work / "letters")
    rows = {row["subject"]: row for row in result.tables["absorption"]}
    metrics = {name: [_f1(rows[name]), *held] for name, held in result.metrics.items()}
    said = f"The model names the first letter of {asked:.0%} of the words asked."
    return Filled(
        under_card_names(metrics),
        [said, *without_number(metrics, card.names), *too_weak(rows, card.names)],
        texts_of(result.files),
    )


def without_number(metrics: Mapping[str, Sequence[Metric]], names: Sequence[str]) -> list[str]:
    """Why absorption has no number, each reason once."""
    keys = {pick.key for pick in LETTERS}
    reasons = {m.why_missing: m.name.replace("_", " ") for name in names for m in metrics.get(name, ()) if m.name in keys}
    return [f"No {what}: {why}." for why, what in reasons.items() if why is not None]


def _accuracy(card: CardBench) -> float | str:
    """How many first letters the model knows (fraction), or why that is too few to go on."""
    config = card.config
    few = FirstLetterConfig(
        sae=config.sae,
        part=config.part,
        model=config.model,
        words=config.words,
        n_words=min(_N_ASKED, config.n_words),
        least_per_class=2,
        seed=config.seed,
    )
    try:
        found = FirstLetterBench(few, card.work / "letters_asked").accuracy
    except ModelError as error:
        return str(error).splitlines()[0]
    if found < _LEAST_ACCURACY:
        return (
            f"the model cannot spell. After ten examples it names the first letter of {found:.0%} of {few.n_words} words; what "
            "it does not know, none of its latents can leave to another."
        )
    return found


def _f1(row: Mapping[str, Any]) -> Metric:
    value = row["k_sparse_f1"]
    return Metric(
        name="k_sparse_f1",
        value=value,
        why_missing="no letter has a probe that can be trusted" if value is None else None,
        unit="fraction",
        better="higher",
        n=row["n_words"],
        n_documents=row["n_words"],
        definition="F1 of sparse probes on the main latents of each letter, on words of the test; mean over letters.",
    )


def too_weak(rows: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Sentences on SAEs whose absorption rates cannot be read."""
    notes: list[str] = []
    for name in names:
        for key, what in (("probe_f1", "Probe F1"), ("k_sparse_f1", "F1 of the main latents")):
            value = rows[name][key] if name in rows else None
            if value is not None and value < _LEAST_F1:
                notes.append(f"{what} {value:.2f}: absorption says nothing of {name}.")
    return notes
