"""Whether one latent is the letter of a word: precision, recall, F1 and AUROC of the latents nearest to the letter's probe.

For each SAE and letter: the five latents whose encoder direction has the largest cosine with the weights of the probe on the
activations; each says the letter where it fires; measured on the test words, beside the probe.

Source: Chanin et al. 2024, arXiv:2409.14507, section 4, and `latent_evaluation.py` of its code. Differs: any model, task and SAE;
what a latent says is whether it fires, which for JumpReLU is the original's sign of x . w + b - threshold; where the encoder is
not linear, latents are ranked by what they write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.probes import probe_bytes
from monoseme.studies._base import Row, Study, StudyResult
from monoseme.studies._first_letter.bench import FirstLetterBench
from monoseme.studies._first_letter.config import FirstLetterConfig
from monoseme.studies._first_letter.reads import linear_reads
from monoseme.studies._first_letter.summary import file_name, preface, probe_rows, reliability_rows
from monoseme.studies._latent_evaluation.figures import figures_of
from monoseme.studies._latent_evaluation.ranks import Directions, HeldOutWords, RankedLatent, ranked_latents
from monoseme.studies._latent_evaluation.tables import latent_rows, letter_rows, metrics_of, raw_results, summary_row
from monoseme.studies._workbench import SHORT_FLAGS, Subject

_TEXT = """\
{preface}

Of each letter, the {n} latents are taken whose direction has the largest cosine with the probe's weights: the direction that they
read, or where the encoder is not linear that they write{written}. A latent says the letter where it fires. Means are over the
letters that count and the nearest latent of each, intervals of 95 % over letters.
"""
_SHOWN = ("sae", "layer", "sae_width", "sae_l0", "n_letters", "f1_probe", "f1_sae", "precision_sae", "recall_sae", "auc_sae")


class LatentEvaluation(Study):
    """How well single latents tell the letter of a word."""

    @dataclass(frozen=True, kw_only=True)
    class Config(FirstLetterConfig):
        """The SAEs, the words, and how many latents are looked at."""

        n_latents: int = 5
        """Latents of each letter, those nearest to the probe (count)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.n_latents < 1:
                raise ConfigError(f"n_latents is {self.n_latents}; it must be at least 1")

    config: Config
    short_flags: ClassVar[Mapping[str, str]] = {"--model": SHORT_FLAGS["--model"]}

    def investigate(self, work: Path) -> StudyResult:
        """Asks the model, trains the probes, and looks at the latents of every SAE; the first two are kept under `work`."""
        bench = FirstLetterBench(self.config, work)
        saes, letters, latents = list[Row](), list[Row](), list[Row]()
        files: dict[str, bytes] = {}
        written: list[str] = []
        with get_display().progress("SAEs", total=len(bench.subjects), unit="SAEs") as progress:
            for subject in bench.subjects:
                found, is_read = self._ranked(bench, subject)
                written += [] if is_read else [subject.name]
                rows = latent_rows(bench, subject, found)
                saes.append(summary_row(bench, subject, rows))
                letters, latents = letters + letter_rows(bench, subject, rows), latents + rows
                files[f"{file_name(subject)}_raw_results.parquet"] = raw_results(bench, subject, found)
                progress.advance()
        return self._result(bench, saes=saes, letters=letters, latents=latents, files=files, written=written)

    def _ranked(self, bench: FirstLetterBench, subject: Subject) -> tuple[list[RankedLatent], bool]:
        x, codes, probe = bench.activations(subject.sites[0]).numpy(), bench.codes(subject), bench.probe(subject.sites[0])
        reads = linear_reads(subject.sae, x, codes)
        test = bench.split.test
        columns = [bench.classes.index(name) for name in probe.classes]
        words = HeldOutWords(x[test].astype(np.float64), codes[test], bench.truth[test][:, columns])
        directions = Directions(reads.directions, bench.directions(subject))
        return ranked_latents(probe, directions, words, n_latents=self.config.n_latents), reads.directions is not None

    def _result(
        self,
        bench: FirstLetterBench,
        *,
        saes: Sequence[Row],
        letters: Sequence[Row],
        latents: Sequence[Row],
        files: dict[str, bytes],
        written: Sequence[str],
    ) -> StudyResult:
        reliability = reliability_rows(bench)
        told = f" ({', '.join(written)})" if written else ""
        return StudyResult(
            title="Letters in single latents",
            text=_TEXT.format(preface=preface(bench), n=self.config.n_latents, written=told),
            tables={
                "saes": saes,
                "latents": latents,
                "auroc_f1": letters,
                "probe": probe_rows(bench),
                "reliability": reliability,
            },
            shown={"saes": _SHOWN, "latents": (), "auroc_f1": (), "probe": (), "reliability": ()},
            metrics={row["sae"]: metrics_of(row, n_words=int(bench.is_test.sum())) for row in saes},
            figures=figures_of(saes, [row for row in latents if row["counts"]], reliability),
            files=files | {f"probe_{site}.safetensors": probe_bytes(bench.saved_probe(site)) for site in bench.sites},
            inputs=bench.bench.inputs(),
            seeds={"seed": self.config.seed, "split": self.config.split_seed, "probe": self.config.probe.seed},
        )
