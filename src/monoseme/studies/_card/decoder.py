"""The lines of a card on the decoder: whether its rows are made of a few more basic directions."""

from monoseme.evaluation._meta_structure import MetaSettings
from monoseme.studies._card.bench import CardBench
from monoseme.studies._card.lines import Filled, Pick, texts_of
from monoseme.studies.meta_structure import MetaStructure

DECODER = (
    Pick("explained", "meta-structure: explained", "What a smaller SAE explains of decoder rows that it has not seen."),
    Pick(
        "structure",
        "meta-structure: above random rows",
        "The same less that of random rows of one covariance; 0 is no structure.",
    ),
)
_N_STEPS = 500
"""Of training the small SAE (count); a third of SAEBench's."""


def meta_structure(card: CardBench) -> Filled:
    """An SAE of each decoder's rows, trained for a third of the usual steps."""
    config = card.config
    study = MetaStructure(
        MetaStructure.Config(
            sae=config.sae, meta=MetaSettings(n_steps=_N_STEPS), n_replicates=config.n_replicates, seed=config.seed
        )
    )
    result = study.investigate(card.work / "meta_structure")
    return Filled(result.metrics, files=texts_of(result.files))
