"""Tables of the study of single latents, with the original's columns, and its raw scores.

Source of the columns: `latent_evaluation.py` of the code of Chanin et al. 2024 (arXiv:2409.14507). Differs: `sae` and `site` tell
an SAE; `auc` is of codes, in which all words that a latent is silent on are alike, and `auc_read` of what its encoder reads,
which is the original's score up to a constant.
"""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

from monoseme.core.intervals import error_between
from monoseme.evaluation import Definition, Metric
from monoseme.evaluation._metric import measured
from monoseme.probes.sparse import columns_of
from monoseme.studies._base import Row
from monoseme.studies._first_letter.bench import FirstLetterBench
from monoseme.studies._first_letter.summary import counted, interval_columns, over_letters, sae_facts
from monoseme.studies._latent_evaluation.ranks import RankedLatent
from monoseme.studies._workbench import Subject

MEASURES = ("f1", "precision", "recall", "auc")
_DEFINITIONS = {
    "f1_sae": "F1 of the firing of the latent nearest to the probe, test words, mean over letters that the probe can tell",
    "auc_sae": "AUROC of the code of the latent nearest to the probe, test words, mean over letters that the probe can tell",
}


def latent_rows(bench: FirstLetterBench, subject: Subject, found: Sequence[RankedLatent]) -> list[Row]:
    """A row for each letter and rank."""
    facts, good = sae_facts(bench, subject), set(counted(bench, subject))
    return [
        facts
        | {"letter": each.letter, "rank": each.rank, "latent": each.latent, "counts": each.letter in good}
        | {"cos_probe_sae_enc": each.cos_enc, "cos_probe_sae_dec": each.cos_dec}
        | {"f1": each.scores.f1, "precision": each.scores.precision, "recall": each.scores.recall}
        | {"auc": each.scores.auroc, "auc_read": each.auc_read}
        for each in found
    ]


def letter_rows(bench: FirstLetterBench, subject: Subject, rows: Sequence[Row]) -> list[Row]:
    """The original's `_auroc_f1`: a row for each letter, columns for the probe and for each of the latents."""
    made: list[Row] = []
    for scores in bench.probe_scores(subject.sites[0]):
        row = sae_facts(bench, subject) | {"letter": scores.name}
        row |= {"auc_probe": scores.auroc, "f1_probe": scores.f1}
        row |= {"recall_probe": scores.recall, "precision_probe": scores.precision}
        for each in (r for r in rows if r["letter"] == scores.name):
            top = f"sae_top_{each['rank']}"
            row |= {f"{top}_feat": each["latent"]} | {f"{measure}_{top}": each[measure] for measure in MEASURES}
        made.append(row)
    return made


def summary_row(bench: FirstLetterBench, subject: Subject, rows: Sequence[Row]) -> Row:
    """Means of the nearest latents over the letters that count, with intervals, beside the probe's."""
    good = set(counted(bench, subject))
    first = [row for row in rows if row["rank"] == 0 and row["letter"] in good]
    probes = [scores for scores in bench.probe_scores(subject.sites[0]) if scores.name in good]
    row = sae_facts(bench, subject) | {"n_letters": len(first)}
    row |= interval_columns("f1_probe", over_letters([scores.f1 for scores in probes]))
    row |= interval_columns("auc_probe", over_letters([scores.auroc for scores in probes]))
    for measure in (*MEASURES, "auc_read"):
        row |= interval_columns(f"{measure}_sae", over_letters([each[measure] for each in first]))
    cosines = [each["cos_probe_sae_dec"] for each in first]
    return row | interval_columns("cos_probe_sae_dec", over_letters(cosines))


def metrics_of(row: Row, *, n_words: int) -> list[Metric]:
    """The headline numbers of one SAE; the standard error is over letters."""
    return [
        measured(
            Definition(name=f"latent_{column.removesuffix('_sae')}", definition=text, unit="fraction", better="higher"),
            float("nan") if row[column] is None else row[column],
            n=n_words,
            n_documents=n_words,
            standard_error=error_between(row[f"{column}_low"], row[f"{column}_high"]),
            why_missing="the probe on activations can tell no letter",
        )
        for column, text in _DEFINITIONS.items()
    ]


def raw_results(bench: FirstLetterBench, subject: Subject, found: Sequence[RankedLatent]) -> bytes:
    """The original's `_raw_results` as Parquet, a row for each test word.

    token, answer_letter, score_probe_<letter>, score_sae_<letter>_top_<i> (the code), sae_<letter>_top_<i>_feat,
    cos_probe_sae_enc_<letter>_top_<i>, cos_probe_sae_dec_<letter>_top_<i>.
    """
    test = bench.split.test
    words: list[int] = test.tolist()
    probe = bench.probe(subject.sites[0])
    logits = probe.logits(bench.activations(subject.sites[0])[test]).double().numpy()
    columns: dict[str, Any] = {
        "token": [bench.words[i] for i in words],
        "answer_letter": [bench.labels[i].lower() for i in words],
    }
    columns |= {f"score_probe_{name.lower()}": logits[:, i] for i, name in enumerate(probe.classes)}
    codes = columns_of(sp.csc_array(bench.codes(subject)[test]), [each.latent for each in found])
    for i, each in enumerate(found):
        top = f"{each.letter.lower()}_top_{each.rank}"
        columns[f"score_sae_{top}"] = codes[:, i]
        columns[f"sae_{top}_feat"] = [each.latent] * len(words)
        columns[f"cos_probe_sae_enc_{top}"] = [each.cos_enc] * len(words)
        columns[f"cos_probe_sae_dec_{top}"] = [each.cos_dec] * len(words)
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()
