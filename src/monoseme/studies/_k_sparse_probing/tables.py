"""Tables of the study of sparse probes, with the original's columns, and its raw scores.

Source of the columns: `k_sparse_probing.py` of the code of Chanin et al. 2024 (arXiv:2409.14507). Differs: `sae` and `site` tell
an SAE, since it may be of any architecture; a row for each k where the original has a column; several numbers in one cell stand
with a space between them.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from numpy.typing import NDArray

from monoseme.core.intervals import error_between
from monoseme.evaluation import Definition, Metric
from monoseme.evaluation._metric import measured
from monoseme.probes import cosines
from monoseme.probes.sparse import columns_of
from monoseme.studies._base import Row
from monoseme.studies._first_letter.bench import FirstLetterBench
from monoseme.studies._first_letter.reads import Reads, linear_reads
from monoseme.studies._first_letter.summary import counted, interval_columns, over_letters, sae_facts
from monoseme.studies._workbench import Subject

_F1 = Definition(
    name="k_sparse_f1_1",
    definition="F1 of a logistic regression on one latent, test words, mean over letters that the probe on activations can tell",
    unit="fraction",
    better="higher",
)
_SPLITS = Definition(
    name="num_split_features",
    definition="Latents beyond the first that each raise F1 by more than f1_jump, mean over the same letters",
    unit="latents",
    better="lower",
)


def score_rows(bench: FirstLetterBench, subject: Subject) -> list[Row]:
    """The original's `_auroc_f1`: a row for each letter and k."""
    facts = sae_facts(bench, subject)
    probe = {scores.name: scores for scores in bench.probe_scores(subject.sites[0])}
    return [
        facts
        | {"letter": name, "k": k, "n_positive": scores.n_positive}
        | {"auc_probe": probe[name].auroc, "f1_probe": probe[name].f1}
        | {"auc": scores.auroc, "f1": scores.f1, "recall": scores.recall, "precision": scores.precision}
        for name, each in bench.latent_probes(subject).classes.items()
        for k, scores in each.scores.items()
    ]


def split_rows(bench: FirstLetterBench, subject: Subject) -> list[Row]:
    """The letters with their main latents; `counts`: whether the probe can tell the letter, so that it is in the means."""
    facts, good = sae_facts(bench, subject), set(counted(bench, subject))
    return [
        facts
        | {
            "letter": name,
            "split_feats": _joined(each.split.latents),
            "num_split_features": each.split.n_splits,
            "f1": each.scores[max(len(each.split.latents), 1)].f1,
            "f1_k_1": each.scores[1].f1,
            "counts": name in good,
        }
        for name, each in bench.latent_probes(subject).classes.items()
    ]


def metadata_rows(bench: FirstLetterBench, subject: Subject) -> list[Row]:
    """The original's `_metadata`: the latents of each probe, their cosines with the probe on activations, weights and bias."""
    facts, probe = sae_facts(bench, subject), bench.probe(subject.sites[0])
    reads = reads_of(bench, subject)
    encoder = None if reads.directions is None else cosines(probe, reads.directions)
    decoder = cosines(probe, bench.directions(subject))
    rows: list[Row] = []
    for name, each in bench.latent_probes(subject).classes.items():
        i = probe.index(name)
        for k, fit in each.probes.items():
            latents = list(fit.latents)
            rows.append(
                {column: facts[column] for column in ("sae", "layer", "sae_l0", "sae_width")}
                | {"letter": name, "k": k, "feats": _joined(latents)}
                | {"cos_probe_sae_enc": None if encoder is None else _joined(encoder[i, latents])}
                | {"cos_probe_sae_dec": _joined(decoder[i, latents])}
                | {"weights": _joined(fit.weights), "bias": fit.bias, "converged": fit.converged}
            )
    return rows


def reads_of(bench: FirstLetterBench, subject: Subject) -> Reads:
    """What the encoder reads, where it is linear."""
    return linear_reads(subject.sae, bench.activations(subject.sites[0]).numpy(), bench.codes(subject))


def summary_row(bench: FirstLetterBench, subject: Subject, *, scores: Sequence[Row], splits: Sequence[Row]) -> Row:
    """Means over the letters that count, with intervals."""
    good = set(counted(bench, subject))
    f1s = {k: [row["f1"] for row in scores if row["k"] == k and row["letter"] in good] for k in bench.config.ks}
    probe = [row["f1_probe"] for row in scores if row["k"] == 1 and row["letter"] in good]
    split = [row["num_split_features"] for row in splits if row["counts"]]
    row = sae_facts(bench, subject) | {"n_letters": len(split)} | interval_columns("f1_probe", over_letters(probe))
    for k in (k for k in (1, 5) if k in f1s):
        row |= interval_columns(f"f1_k_{k}", over_letters(f1s[k]))
    return row | interval_columns("num_split_features", over_letters(split))


def metrics_of(row: Row, *, n_words: int) -> list[Metric]:
    """The headline numbers of one SAE; the standard error is over letters."""
    why = "the probe on activations can tell no letter"
    return [
        measured(
            definition,
            float("nan") if row[column] is None else row[column],
            n=n_words,
            n_documents=n_words,
            standard_error=error_between(row[f"{column}_low"], row[f"{column}_high"]),
            why_missing=why,
        )
        for definition, column in ((_F1, "f1_k_1"), (_SPLITS, "num_split_features"))
    ]


def raw_results(bench: FirstLetterBench, subject: Subject) -> bytes:
    """The original's `_raw_results` as Parquet: a row for each test word, columns for each letter and k.

    token, answer_letter, score_probe_<letter>, score_sparse_sae_<letter>_k_<k>, sum_sparse_sae_<letter>_k_<k>; and
    sparse_sae_<letter>_acts, the codes of all its latents, best first, of which the original repeats the first k for each k.
    """
    test = bench.split.test
    site = subject.sites[0]
    words: list[int] = test.tolist()
    columns: dict[str, Any] = {
        "token": [bench.words[i] for i in words],
        "answer_letter": [bench.labels[i].lower() for i in words],
    }
    probe = bench.probe(site)
    logits = probe.logits(bench.activations(site)[test]).double().numpy()
    columns |= {f"score_probe_{name.lower()}": logits[:, i] for i, name in enumerate(probe.classes)}
    codes = sp.csc_array(bench.codes(subject)[test])
    for name, each in bench.latent_probes(subject).classes.items():
        x, letter = columns_of(codes, each.order), name.lower()
        for k, fit in each.probes.items():
            columns[f"score_sparse_sae_{letter}_k_{k}"] = fit.score(x[:, :k])
            columns[f"sum_sparse_sae_{letter}_k_{k}"] = x[:, :k].sum(1)
        columns[f"sparse_sae_{letter}_acts"] = x.tolist()
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def _joined(values: Sequence[float] | NDArray[Any]) -> str:
    return " ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in np.asarray(values).tolist())
