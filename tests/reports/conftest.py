"""A small run's report, with text that tries to break out of the page."""

import math

import pyarrow as pa
import pytest

from monoseme.evaluation import EvalResult, Metric
from monoseme.evaluation._tables import metric_table
from monoseme.evaluation.fidelity import Fidelity
from monoseme.reports import LatentSample, RunReport, SaeReport, TokenExample

EVIL = "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">'\"&"


def metrics_of(scale: float) -> tuple[Metric, ...]:
    """Every metric fidelity defines, with made-up values; `kl` is missing."""
    return tuple(
        Metric(
            name=d.name,
            value=None if d.name == "kl" else scale * (i + 1) / 40,
            why_missing=EVIL if d.name == "kl" else None,
            unit=d.unit,
            better=d.better,
            n=997,
            n_documents=31,
            standard_error=None if d.name == "kl" else 1e-4,
            definition=d.definition,
        )
        for i, d in enumerate(Fidelity.definitions())
    )


def _sae(name: str, scale: float) -> SaeReport:
    metrics = metrics_of(scale)
    tables = {
        "domains": metric_table("domain", {"stories": metrics, EVIL: metrics}),
        "density": pa.table({"low": [0.0, 0.001, 0.01, 0.1], "high": [0.0, 0.01, 0.1, 1.0], "n_latents": [3, 7, 5, 2]}),
        "l0": pa.table({"l0": [0, 1, 2, 3], "n_tokens": [0, 11, 5, 2]}),
    }
    example = TokenExample(tokens=(" the", EVIL, "\n", "end"), values=(0.0, 4.0, -2.0, 1.0), source=EVIL)
    sample = LatentSample(latent=17, density=0.01, explanation=EVIL, top_tokens=(EVIL, " cat"), examples=(example,))
    result = EvalResult(evaluation="fidelity", subject=name, metrics=metrics, tables=tables)
    return SaeReport(name=name, architecture="topk", facts={"k": "5"}, results=(result,), samples=(sample,))


@pytest.fixture
def evil() -> str:
    return EVIL


@pytest.fixture
def report() -> RunReport:
    rows = [
        {"sae": name, "step": step, "tokens": 100 * step, "fvu": 0.2 + math.exp(-step / 9), "l0": 5.0, "dead_fraction": 0.01}
        for name in ("topk", EVIL)
        for step in range(1, 30)
    ]
    rows += [{"sae": "topk", "event": "validation", "step": 20, "tokens": 2000, "fvu": 0.3}]
    return RunReport(
        title=EVIL,
        facts={"Model": EVIL},
        saes=(_sae("topk", 1.0), _sae(EVIL, 2.0)),
        training=tuple(rows),
        config={"text": EVIL},
    )
