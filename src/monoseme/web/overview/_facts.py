"""What the overview says of a run beside its charts: how it was made, and every number measured on it."""

from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.evaluation import EvalResult, Metric
from monoseme.pipeline import has_given_saes
from monoseme.web.measured import metric
from monoseme.web.overview.answers import Fact
from monoseme.web.values import MetricValue

_TRAIN_FACTS = (
    ("n_tokens", "Tokens trained on", "Tokens read in training, all SAEs on one pass of the model."),
    ("batch_size", "Batch size", "Tokens in one step of the optimiser."),
    ("lr", "Learning rate", "Peak of the schedule; none: chosen from the width."),
    ("seed", "Seed", "Of training: order of the data and every draw."),
)


def corpus_name(config: Mapping[str, Any]) -> str:
    """What the text is called in the config."""
    return str(config.get("corpus", {}).get("source", ""))


def facts(record: Mapping[str, Any], scanned: Mapping[str, int]) -> list[Fact]:
    """The settings that tell runs apart, and how much text was read; what is not known is left out."""
    config, is_given = record["config"], has_given_saes(record)
    model, corpus, train = (config.get(name, {}) for name in ("model", "corpus", "train"))
    found = [
        _fact("Model", model.get("model"), "Folder or hub id."),
        _fact("Revision", model.get("revision"), "Branch, tag or commit on the hub."),
        _fact("Type of activations", model.get("dtype"), "Type of the model's weights and activations."),
        _fact("Measured on" if is_given else "Text", corpus.get("source"), "Where the documents come from."),
        _fact("Context", corpus.get("context_len"), "Tokens that the model sees at once."),
        *(_of_given(corpus) if is_given else _of_training(corpus, train)),
        _fact("Tokens scanned", max(scanned.values(), default=None), "Tokens that the latents' pages rest on."),
        _fact("Written by", f"monoseme {record.get('package_version', '?')}", ""),
    ]
    return [fact for fact in found if fact is not None]


def _of_training(corpus: Mapping[str, Any], train: Mapping[str, Any]) -> list[Fact | None]:
    return [
        _fact("Held out", _percent(corpus.get("holdout_fraction")), "Share of the sources that training never saw."),
        *(_fact(label, train.get(key), help_) for key, label, help_ in _TRAIN_FACTS),
    ]


def _of_given(corpus: Mapping[str, Any]) -> list[Fact | None]:
    share = _percent(corpus.get("holdout_fraction"))
    return [
        _fact("Share measured", share, "Of the sources. Whether training saw them is not known."),
        _fact("Training", "not known here", "The SAEs were given to this run, trained elsewhere."),
    ]


def _fact(label: str, value: Any, help_: str) -> Fact | None:
    return None if value is None or value == "" else Fact(label=label, value=_shown(value), help=help_)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _percent(fraction: float | None) -> str | None:
    return None if fraction is None else f"{100 * fraction:g} %"


def metrics_at(results: Sequence[EvalResult], site: str | None) -> list[MetricValue]:
    """Every metric: those of the whole SAE, or at one site of several those that were measured there."""
    found: list[MetricValue] = []
    for result in results:
        there = {row["metric"]: row for row in _rows(result, "sites") if row["site"] == site}
        found += [_of_row(there[each.name], each) if each.name in there else metric(each) for each in result.metrics]
    return found


def domain_metrics(results: Sequence[EvalResult], site: str | None) -> dict[str, list[MetricValue]]:
    """The metrics on each domain of the text; empty where the text has one domain only, and at one site of several: there
    domains are not measured."""
    domains: dict[str, list[MetricValue]] = {}
    for result in results:
        known = {found.name: found for found in result.metrics}
        is_of_all_sites = site is not None and "sites" in result.tables
        for row in [] if is_of_all_sites else _rows(result, "domains"):
            whole = known.get(row["metric"])
            if whole is not None:
                domains.setdefault(row["domain"], []).append(_of_row(row, whole))
    return domains if len(domains) > 1 else {}


def _rows(result: EvalResult, table: str) -> list[dict[str, Any]]:
    """The rows of a table; none where the evaluation has no such table."""
    return result.tables[table].to_pylist() if table in result.tables else []


def _of_row(row: Mapping[str, Any], whole: Metric) -> MetricValue:
    return MetricValue(
        name=whole.name,
        value=row["value"],
        standard_error=row["standard_error"],
        why_missing=row["why_missing"],
        unit=whole.unit,
        better=whole.better,
        n=row["n"],
        definition=whole.definition,
    )
