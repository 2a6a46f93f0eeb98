"""Meta-structure: are the latents of an SAE made of a few more basic directions?

A small SAE (a quarter of the width, four latents active) is trained on the decoder's rows, and what it explains of rows that it
has not seen is held against random rows of the same mean and covariance. Beside it, SAEBench's number, of the rows it was trained
on.

Source: SAEBench's `meta_structure`; Leask et al. 2025, arXiv:2502.04878 (meta-SAEs).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monoseme.core.config import to_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import read_json, write_json
from monoseme.evaluation._meta_structure import MetaSettings
from monoseme.pipeline import NamedSae, find_saes
from monoseme.studies._base import Study, StudyResult
from monoseme.studies._kept_files import reading, require_same_saes
from monoseme.studies._meta_structure.figures import scores
from monoseme.studies._meta_structure.measure import Measured, measure
from monoseme.studies._meta_structure.tables import finding_of, metrics_of, rows_of, saebench_files

_TEXT = """\
The rows of a decoder, of length 1, are coded by a BatchTopK SAE of {fraction:.2g} times as many latents; *explained* is
1 - sum |w - w_hat|^2 / sum |w - w_mean|^2. On average {k} latents are on for a row that it was trained on; its threshold is fixed
and lets more through for rows that it was not (column n_active).

- *held out*: of the {held:.0%} of the rows that it was not trained on: what the rows share. *random rows*: the same of as many
  random rows of length 1 with the same mean and covariance, which share nothing else. *structure* is the difference of the two.
- *as SAEBench*: trained and measured on all rows, some of which it learns by heart.

Intervals are of 95 %, over the rows. No text and no model is needed.
"""


class MetaStructure(Study):
    """Whether the latents of an SAE are made of a few more basic directions."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Study.Config):
        """Which SAEs, and how the SAE of their rows is trained."""

        sae: tuple[str, ...] = ()
        """SAEs to compare: runs, RUN/saes/NAME, checkpoints RUN@STEP, and patterns of these such as "runs/seed*"."""
        meta: MetaSettings = field(default_factory=MetaSettings)
        """The SAE of the rows."""
        held_out_fraction: float = 0.2
        """Share of the rows that it is measured on and not trained on (fraction)."""
        most_rows: int = 20_000
        """Rows that are coded at most; of a wider SAE, so many drawn at random (count)."""
        n_replicates: int = 200
        """Drawings of rows that intervals come from (count)."""
        seed: int = 0
        """Of what is held out, drawn and trained."""

        def __post_init__(self) -> None:
            if not 0.0 < self.held_out_fraction < 1.0:
                raise ConfigError(f"held_out_fraction is {self.held_out_fraction}; it must be between 0 and 1")
            if self.n_replicates < 20 or self.most_rows < 8:
                raise ConfigError("n_replicates must be at least 20, and most_rows at least 8")

    config: Config

    def investigate(self, work: Path) -> StudyResult:
        """Measures each SAE that `work` does not hold yet. Raises what opening the SAEs raises."""
        config = self.config
        saes = [found.named for found in find_saes(config.sae)]
        found = self._measured(saes, work)
        rows = rows_of(found)
        return StudyResult(
            title="What the rows of a decoder share",
            text=_TEXT.format(fraction=config.meta.width_fraction, k=config.meta.k, held=config.held_out_fraction),
            tables={"meta_structure": rows},
            metrics=metrics_of(found),
            figures=[scores(rows)],
            findings=[finding_of(found)],
            files=saebench_files(found, {sae.name: to_dict(sae.sae.config) for sae in saes}, _as_saebench(config)),
            inputs={f"sae/{sae.name}": sae.content_hash for sae in saes if sae.content_hash is not None},
            seeds={"seed": config.seed},
        )

    def _measured(self, saes: Sequence[NamedSae], work: Path) -> Mapping[str, Measured]:
        config, found = self.config, dict[str, Measured]()
        require_same_saes(work, {sae.name: sae.content_hash for sae in saes})
        with get_display().progress("decoders", total=len(saes), unit="SAEs") as progress:
            for sae in saes:
                file = work / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', sae.name)}.json"
                if not file.is_file():
                    made = measure(
                        sae.sae,
                        n_sites=len(sae.sites),
                        settings=config.meta,
                        held_out_fraction=config.held_out_fraction,
                        most_rows=config.most_rows,
                        n_replicates=config.n_replicates,
                        seed=config.seed,
                    )
                    write_json(file, made._asdict())
                with reading(file):
                    found[sae.name] = Measured(**read_json(file))
                progress.advance()
        return found


def _as_saebench(config: MetaStructure.Config) -> dict[str, object]:
    """The settings under the names that SAEBench has for them."""
    meta = config.meta
    return {
        "random_seed": config.seed,
        "width_ratio": meta.width_fraction,
        "k": meta.k,
        "train_steps": meta.n_steps,
        "train_batch_size": meta.batch_size,
        "learning_rate": meta.lr,
    }
