"""What was measured as rows, metrics and findings, and as a file of SAEBench."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monoseme.evaluation import Definition, Metric
from monoseme.evaluation._bootstrap import Estimate, estimate
from monoseme.evaluation._metric import measured
from monoseme.evaluation.formats import SaeBenchResult, file_name, saebench_to_json
from monoseme.studies._base import Comparison, Finding, Row
from monoseme.studies._intervals import difference, of_replicates
from monoseme.studies._sparse_probing.measure import FULL, Floats, Measured

OVERALL = "mean of the data sets"
_CLAIM = (
    "A few SAE latents tell a class better than as many dimensions of the activations do (SAEBench, arXiv:2503.09532, and Gurnee "
    "et al. 2023)."
)


def subjects_of(found: Sequence[Measured]) -> list[str]:
    """Every representation, the SAEs first."""
    return list(dict.fromkeys(each.subject for one in found for each in one.accuracies))


def measures_of(found: Sequence[Measured]) -> list[str]:
    """Numbers of features, then all of them."""
    names = dict.fromkeys(each.measure for one in found for each in one.accuracies)
    return sorted((name for name in names if name != FULL), key=int) + [FULL] * (FULL in names)


def mean_replicates(found: Sequence[Measured], subject: str, measure: str, *, as_saebench: bool = False) -> Floats | None:
    """[W]: mean over the data sets; None where one of them lacks it, since means over other sets would not compare."""
    each = [one.replicates(subject, measure, as_saebench=as_saebench) for one in found]
    there = [replicates for replicates in each if replicates is not None]
    return np.mean(there, axis=0) if len(there) == len(found) else None


def accuracy_rows(found: Sequence[Measured], saes: Sequence[str]) -> list[Row]:
    """Of each data set, and of their mean where there are several; SAEs as they were given, then what stands beside them."""
    rows: list[Row] = []
    others = [subject for subject in subjects_of(found) if subject not in saes]
    of: list[tuple[str, Sequence[Measured]]] = [(OVERALL, found)] if len(found) > 1 else []
    for name, ones in [*of, *((one.dataset, [one]) for one in found)]:
        for subject in (*saes, *others):
            for measure in measures_of(found):
                ours = mean_replicates(ones, subject, measure)
                theirs = mean_replicates(ones, subject, measure, as_saebench=True)
                if ours is None or theirs is None:
                    continue
                a, b = of_replicates(ours), of_replicates(theirs)
                rows.append(
                    {"dataset": name, "subject": subject, "is_sae": subject in saes, "features": measure}
                    | {"accuracy": a.value, "accuracy_low": a.low, "accuracy_high": a.high}
                    | {"as_saebench": b.value, "as_saebench_low": b.low, "as_saebench_high": b.high}
                )
    return rows


def class_rows(found: Sequence[Measured]) -> list[Row]:
    """The accuracy of each class's probes."""
    return [
        {"dataset": one.dataset, "class": each.label, "subject": each.subject, "features": each.measure}
        | {"accuracy": each.ours[0], "as_saebench": each.as_saebench[0]}
        for one in found
        for each in one.accuracies
    ]


def dataset_rows(found: Sequence[Measured]) -> list[Row]:
    """What each data set holds."""
    return [
        {
            "dataset": one.dataset,
            "classes": ", ".join(one.classes),
            "n_texts": one.n_texts,
            "n_sources": one.n_sources,
            "n_test_per_class": round(float(np.mean(one.n_test))),
        }
        for one in found
    ]


def metrics_of(found: Sequence[Measured], saes: Sequence[str]) -> dict[str, list[Metric]]:
    """Subject -> its accuracies under both definitions, with standard errors over sources and seeds."""
    return {
        subject: [
            metric
            for measure in measures_of(found)
            for as_saebench in (False, True)
            if (metric := _metric(found, subject, measure, as_saebench=as_saebench)) is not None
        ]
        for subject in saes
    }


def _metric(found: Sequence[Measured], subject: str, measure: str, *, as_saebench: bool) -> Metric | None:
    replicates = mean_replicates(found, subject, measure, as_saebench=as_saebench)
    if replicates is None:
        return None
    import torch

    n_sources = sum(one.n_sources for one in found)
    value: Estimate = estimate(torch.from_numpy(replicates), n_documents=n_sources)
    return measured(
        _definition(measure, as_saebench=as_saebench),
        value.value,
        n=sum(sum(one.n_test) for one in found),
        n_documents=n_sources,
        standard_error=value.standard_error,
        why_missing="no test text counts",
    )


def _definition(measure: str, *, as_saebench: bool) -> Definition:
    few = f"a logistic regression on the {measure} latents whose mean differs most between the class and the others"
    what = "a linear probe of all latents" if measure == FULL else few
    how = ""
    if as_saebench:
        how = "; its epoch is the best on the test" if measure == FULL else "; codes chosen and seen as they are"
    return Definition(
        name=f"{measure if measure == FULL else f'top_{measure}'}_accuracy{'_as_saebench' if as_saebench else ''}",
        definition=f"Test accuracy of {what}, one class against as many texts of the others, mean over classes and sets{how}.",
        unit="fraction",
        better="higher",
    )


def finding_of(found: Sequence[Measured], saes: Sequence[str], sites: Mapping[str, str]) -> Finding:
    """`sites`: SAE -> the name of the activations that it reads. A difference that its interval leaves open does not hold."""
    made: list[Comparison] = []
    for subject in saes:
        for measure in [name for name in measures_of(found) if name != FULL]:
            ours, rival = mean_replicates(found, subject, measure), mean_replicates(found, sites[subject], measure)
            if ours is not None and rival is not None:
                gap = difference(ours, rival)
                words = f"{subject}, {measure} of {sites[subject]}: {ours[0]:.3f} against {rival[0]:.3f}, difference {gap}"
                made.append(Comparison(held=gap.value > 0 and bool(gap.excludes_zero), numbers=words))
    return Finding(_CLAIM, tuple(made), "no SAE was measured" if not made else "")


def saebench_files(
    found: Sequence[Measured], saes: Mapping[str, Mapping[str, Any]], sites: Mapping[str, str], config: Mapping[str, Any]
) -> dict[str, bytes]:
    """File name -> SAEBench's JSON for each SAE, of the numbers as SAEBench defines them; ours are in its unstructured part.

    `saes`: name -> configuration.
    """
    made: dict[str, bytes] = {}
    for subject, sae_config in saes.items():
        result = SaeBenchResult(
            eval_type="sparse_probing",
            metrics={"llm": _numbers(found, sites[subject], "llm"), "sae": _numbers(found, subject, "sae")},
            release="monoseme",
            sae_id=subject,
            config=dict(config) | {"dataset_names": [one.dataset for one in found]},
            details=[
                {"dataset_name": f"{one.dataset}_results"}
                | _numbers([one], sites[subject], "llm")
                | _numbers([one], subject, "sae")
                for one in found
            ],
            unstructured={"by_class": class_rows(found), "own_definition": _own(found, subject)},
            sae_config=sae_config,
        )
        made[f"sparse_probing_{file_name('monoseme', subject)}"] = saebench_to_json(result)
    return made


def _numbers(found: Sequence[Measured], subject: str, of: str) -> dict[str, float | None]:
    made: dict[str, float | None] = {}
    for measure in measures_of(found):
        replicates = mean_replicates(found, subject, measure, as_saebench=True)
        name = f"{of}_test_accuracy" if measure == FULL else f"{of}_top_{measure}_test_accuracy"
        made[name] = None if replicates is None else float(replicates[0])
    return made


def _own(found: Sequence[Measured], subject: str) -> dict[str, float | None]:
    each = {measure: mean_replicates(found, subject, measure) for measure in measures_of(found)}
    return {measure: None if replicates is None else float(replicates[0]) for measure, replicates in each.items()}
