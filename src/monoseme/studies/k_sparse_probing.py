"""How few latents tell the letter of a word, and over how many latents a letter is split.

For each SAE and letter: latents are chosen on the training words, a logistic regression sees the first k of them, and its F1 is
measured on the test words, from one latent to fifty. A letter is split as long as another latent raises F1 by more than 0.03.

Source: Chanin et al. 2024, arXiv:2409.14507, section 4, and `k_sparse_probing.py` of its code. Differs: any model, task and SAE;
words of the training side alone are examples in prompts; letters that the probe on activations cannot tell count in no mean
(SAEBench).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from monoseme.core.display import get_display
from monoseme.probes import probe_bytes
from monoseme.studies._base import Row, Study, StudyResult
from monoseme.studies._first_letter.bench import FirstLetterBench
from monoseme.studies._first_letter.config import FirstLetterConfig
from monoseme.studies._first_letter.summary import counted, file_name, preface, probe_rows
from monoseme.studies._k_sparse_probing.figures import figures_of
from monoseme.studies._k_sparse_probing.tables import (
    metadata_rows,
    metrics_of,
    raw_results,
    score_rows,
    split_rows,
    summary_row,
)
from monoseme.studies._workbench import SHORT_FLAGS

_TEXT = """\
{preface}

Latents were chosen {selection}; a logistic regression with balanced classes and scikit-learn's L2 penalty sees the first *k* of
them. *num_split_features*: latents beyond the first, each of which raises F1 by more than {jump:g} (SAEBench counts the
first too). Means are over the letters that count, intervals of 95 % over letters.
"""
_SELECTED = {
    "l1": "by the signed weights of an L1 probe on all latents at once",
    "mean_difference": "by how much larger their mean is on words of the letter",
    "probe_weight": "by the cosine of what they write with the probe on the activations",
}
_SHOWN = ("sae", "layer", "sae_width", "sae_l0", "n_letters", "f1_probe", "f1_k_1", "f1_k_5", "num_split_features")


class KSparseProbing(Study):
    """How few latents tell the letter of a word, and over how many it is split."""

    @dataclass(frozen=True, kw_only=True)
    class Config(FirstLetterConfig):
        """The SAEs, the words, and how they are probed."""

    config: Config
    short_flags: ClassVar[Mapping[str, str]] = {"--model": SHORT_FLAGS["--model"]}

    def investigate(self, work: Path) -> StudyResult:
        """Asks the model, trains the probes, and measures every SAE; each of these is kept under `work`."""
        bench = FirstLetterBench(self.config, work)
        scores, splits, metadata = list[Row](), list[Row](), list[Row]()
        saes, files = list[Row](), dict[str, bytes]()
        with get_display().progress("SAEs", total=len(bench.subjects), unit="SAEs") as progress:
            for subject in bench.subjects:
                of_scores, of_splits = score_rows(bench, subject), split_rows(bench, subject)
                saes.append(summary_row(bench, subject, scores=of_scores, splits=of_splits))
                scores, splits = scores + of_scores, splits + of_splits
                metadata += metadata_rows(bench, subject)
                files[f"{file_name(subject)}_raw_results.parquet"] = raw_results(bench, subject)
                progress.advance()
        files |= {f"probe_{site}.safetensors": probe_bytes(bench.saved_probe(site)) for site in bench.sites}
        good = {subject.name: set(counted(bench, subject)) for subject in bench.subjects}
        n_words = int(bench.is_test.sum())
        return StudyResult(
            title="Letters in few latents",
            text=_TEXT.format(preface=preface(bench), selection=_SELECTED[self.config.selection], jump=self.config.f1_jump),
            tables={"saes": saes, "splits": splits, "auroc_f1": scores, "metadata": metadata, "probe": probe_rows(bench)},
            shown={"saes": _SHOWN, "splits": (), "auroc_f1": (), "metadata": (), "probe": ()},
            metrics={row["sae"]: metrics_of(row, n_words=n_words) for row in saes},
            figures=figures_of(saes, _of(scores, good), _of(splits, good)),
            files=files,
            inputs=bench.bench.inputs(),
            seeds={"seed": self.config.seed, "split": self.config.split_seed, "probe": self.config.probe.seed},
        )


def _of(rows: Sequence[Row], good: dict[str, set[str]]) -> list[Row]:
    """Those of letters that count."""
    return [row for row in rows if row["letter"] in good[row["sae"]]]
