"""Every single judgement behind the scores of explanations: the rows of `judgements.parquet`, beside `scores.parquet`.

Written by `annotate.score_explanations` from what a scorer collected; read by whoever wants to see why a score is what it is. A
row has no text: document and position say where it is in the atlas, and the text store gives it.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pyarrow as pa

JUDGEMENTS = "judgements.parquet"
_TYPES = pa.schema(
    [
        ("latent", pa.int32()),
        ("told", pa.string()),
        ("told_of", pa.int32()),
        ("question", pa.int32()),
        ("kind", pa.string()),
        ("document", pa.int64()),
        ("position", pa.int64()),
        ("decile", pa.int8()),
        ("truth", pa.float64()),
        ("answer", pa.float64()),
        ("says", pa.bool_()),
        ("failure", pa.string()),
        ("details", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What was said of one excerpt."""

    latent: int
    told: str
    """Whose explanation was told: `own`, `other` (another latent's), `empty`; `lookup` for what the table of tokens says."""
    told_of: int | None
    """The latent whose explanation it was."""
    question: int | None
    """Number of the question among those of the latent; excerpts of one were judged together. None where nothing was asked."""
    kind: str
    document: int | None
    """None for text that a judge wrote."""
    position: int | None
    """Of the focus, or of the first token where there is none."""
    decile: int | None
    truth: float | None
    """What is right: 1 yes, 0 no; or the largest real activation, where activations are what is said."""
    answer: float | None
    """What was said, as a number: a grade from 0 to 9, a similarity, an activation. None where there was no answer to use."""
    says: bool | None
    """What was said, as yes or no; None where no such thing was asked or said."""
    failure: str | None = None
    """Why there is no answer to use."""
    details: str = "{}"
    """What else was shown or said, as a JSON object: marked tokens, levels of each token, the sentence written."""


def judgements_table(judgements: Iterable[Judgement]) -> pa.Table:
    """The judgements as a table, in their order."""
    return pa.Table.from_pylist([asdict(judgement) for judgement in judgements], schema=_TYPES)
