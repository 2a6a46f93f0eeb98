"""The figure of meta-structure: what is explained of each decoder, beside random rows and SAEBench's number."""

from collections.abc import Sequence

from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies._base import Row

_GROUPS = {"held_out": "held-out rows", "random_rows": "random rows", "as_saebench": "rows trained on"}


def scores(rows: Sequence[Row]) -> Figure:
    """Every SAE as a row; the three numbers beside each other."""
    return interval_dots(
        "meta_structure",
        [
            Estimate(
                row=row["sae"],
                value=row[key],
                low=row[f"{key}_low"],
                high=row[f"{key}_high"],
                panel="explained variance of decoder rows",
                group=group,
            )
            for key, group in _GROUPS.items()
            for row in rows
        ],
        title="What an SAE of the decoder's rows explains",
        caption="Share of the variance of rows. Held-out rows right of random rows: latents share parts. Rows trained on are "
        "SAEBench's number; its distance to held-out rows is what is learned by heart. Bars are 95 % intervals over rows.",
    )
