"""Scores of many latents in a few numbers, each beside its controls: what reports show of explanations."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from monoseme.atlas.annotations import Annotation, table_path
from monoseme.core.intervals import Z_95

CONTROLS = {"other": "another latent's explanation", "empty": "no explanation", "lookup": "table of tokens"}
"""Ending of a control's name -> what was told instead of the explanation; the last is the bar to beat."""


@dataclass(frozen=True, kw_only=True)
class MeanScore:
    """A number over the latents that have it."""

    mean: float
    low: float | None
    """Lower end of the 95 % interval of the mean, with latents as what varies; None from one latent."""
    high: float | None
    n_latents: int


@dataclass(frozen=True, kw_only=True)
class ScoreSummary:
    """One number of one scorer about one part of explanations."""

    explanations: str
    """Label of what was scored."""
    scorer: str
    name: str
    definition: str
    own: MeanScore | None
    """None where no latent has it."""
    controls: dict[str, MeanScore]
    """By the endings in CONTROLS, those that there are."""
    deciles: dict[int, MeanScore]
    """By the tenth of the activations, 0 the weakest; empty where the scorer does not tell them apart."""
    n_missing: int
    """Latents without it (count)."""


def summaries_of(annotation: Annotation) -> list[ScoreSummary]:
    """The numbers of a part of scores that have controls, and its first; none of a part that holds something else."""
    config = annotation.artifact.config
    if annotation.holds != "scores":
        return []
    definitions: dict[str, str] = config["definitions"]
    first = str(config.get("headline", next(iter(definitions))))
    controlled = [name for name in definitions if any(f"{name}_{control}" in definitions for control in CONTROLS)]
    rows = _rows(pq.read_table(table_path(annotation), columns=["name", "value", "decile"]))
    whole = {row["name"]: row for row in rows if row["decile"] is None}
    return [
        ScoreSummary(
            explanations=str(config["explanations"]),
            scorer=str(config["scorer"]),
            name=name,
            definition=definitions[name],
            own=_mean(whole.get(name)),
            controls={control: mean for control in CONTROLS if (mean := _mean(whole.get(f"{name}_{control}"))) is not None},
            deciles=_deciles(rows, name),
            n_missing=whole[name]["rows"] - whole[name]["n"] if name in whole else 0,
        )
        for name in dict.fromkeys([first, *controlled])
    ]


def _deciles(rows: list[dict[str, Any]], name: str) -> dict[int, MeanScore]:
    found = {row["decile"]: _mean(row) for row in rows if row["name"] == name and row["decile"] is not None}
    return {decile: mean for decile, mean in sorted(found.items()) if mean is not None}


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """Mean, spread and number of values of each number of each tenth."""
    deviation = ("value", "stddev", pc.VarianceOptions(ddof=1))
    found = table.group_by(["name", "decile"]).aggregate([("value", "mean"), deviation, ("value", "count"), ("name", "count")])
    return found.rename_columns(["name", "decile", "mean", "deviation", "n", "rows"]).to_pylist()


def _mean(row: dict[str, Any] | None) -> MeanScore | None:
    if row is None or row["mean"] is None:
        return None
    spread = None if row["n"] < 2 else Z_95 * row["deviation"] / row["n"] ** 0.5
    low, high = (None, None) if spread is None else (row["mean"] - spread, row["mean"] + spread)
    return MeanScore(mean=row["mean"], low=low, high=high, n_latents=row["n"])
