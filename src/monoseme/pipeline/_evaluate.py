"""The evaluation stage: SAEs measured on held-out text, one report artifact each."""

import itertools
from collections.abc import Sequence
from dataclasses import fields

from monoseme.core.config import to_dict
from monoseme.core.display import get_display
from monoseme.evaluation import EVALUATIONS, EvalResult, EvalSubject, Evaluation, write_report
from monoseme.evaluation.fidelity import Fidelity
from monoseme.pipeline._config import RunConfig, run_config_from_dict
from monoseme.pipeline._folder import RunFolder, refuse_again
from monoseme.pipeline._materials import Materials
from monoseme.pipeline._parted import WHOLE, parted
from monoseme.pipeline._saes import NamedSae, open_saes

_FIDELITY = "fidelity"
_N_TOLD = 3
"""Metrics of another evaluation told on its line."""

Results = dict[str, dict[str, EvalResult]]
"""SAE -> evaluation -> what it found."""


def evaluate_run(
    run: RunFolder, names: Sequence[str] | None = None, *, materials: Materials | None = None, overwrite: bool = False
) -> Results:
    """Measures every SAE of the run on its held-out documents, all SAEs on one pass for each evaluation.

    `names` are evaluations; None: those of the run's config. Raises UnknownPluginError, ArtifactExistsError for what was measured
    before unless `overwrite`, and what the model and the text raise.
    """
    names = names or run_config(run).evaluations
    for sae, name in itertools.product(run.sae_names(), names):
        refuse_again(run.evaluation(sae, name), overwrite=overwrite)
    materials = materials or Materials(run_config(run))
    saes = open_saes(str(run.path), device=materials.sae_device)
    return {sae.name: {} for sae in saes} | _turned(
        {name: _keep(run, saes, name, materials, overwrite=overwrite) for name in names}
    )


def _keep(run: RunFolder, saes: Sequence[NamedSae], name: str, materials: Materials, *, overwrite: bool) -> dict[str, EvalResult]:
    """One evaluation of all SAEs, written into the run."""
    evaluation = evaluation_of(name, materials.config)
    results = {result.subject: result for result in measure(saes, materials, evaluation)}
    for sae in saes:
        inputs = {**materials.model_hashes(), "text": materials.text.content_hash}
        if sae.content_hash is not None:
            inputs["sae"] = sae.content_hash
        plain = to_dict(evaluation.config)
        config, seeds = {"evaluation": name, **plain}, {"bootstrap": plain.get("seed", 0)}
        path = run.evaluation(sae.name, name)
        write_report(results[sae.name], path, config=config, inputs=inputs, seeds=seeds, overwrite=overwrite)
        run.add({"evaluations": {sae.name: {name: f"evaluations/{sae.name}/{name}"}}})
    return results


def _turned(found: dict[str, dict[str, EvalResult]]) -> Results:
    """Evaluation -> SAE -> result, the other way round."""
    turned: Results = {}
    for name, results in found.items():
        for sae, result in results.items():
            turned.setdefault(sae, {})[name] = result
    return turned


def evaluation_of(name: str, config: RunConfig) -> Evaluation:
    """The evaluation of that name with the run's bounds. Raises UnknownPluginError."""
    kind = EVALUATIONS.get(name)
    if name == _FIDELITY:
        return kind(config.fidelity)
    bounds = {"max_tokens": config.fidelity.max_loss_tokens, "n_replicates": config.fidelity.n_replicates}
    known = {setting.name for setting in fields(kind.Config)}
    return kind(kind.Config(**{key: value for key, value in bounds.items() if key in known}))


def measure(
    saes: Sequence[NamedSae],
    materials: Materials,
    evaluation: Evaluation | None = None,
    *,
    parts: Sequence[str] = (WHOLE,),
) -> list[EvalResult]:
    """An evaluation (None: fidelity) of any SAEs, by parts, on the held-out documents of `materials`, nothing written.

    Raises ConfigError for a part that no SAE has.
    """
    subjects = [
        EvalSubject(
            name=each.name,
            sae=each.named.sae,
            sites=each.named.sites,
            source=materials.held_out,
            model=materials.spliced_model(each.named.sites),
            part=each.part,
            domain_of=materials.domain_of,
        )
        for each in parted(saes, parts)
    ]
    results = (evaluation or Fidelity(materials.config.fidelity)).run_many(subjects)
    for result in results:
        get_display().say(headline(result))
    return results


def headline(result: EvalResult) -> str:
    """The numbers that people ask for first, on a line: of fidelity the usual ones, else the first of the evaluation's own."""
    if result.evaluation == _FIDELITY:
        told = (("FVU", "fvu"), ("L0", "l0"), ("CE recovered", "ce_recovered"), ("dead", "dead_fraction"))
    else:
        told = tuple((metric.name, metric.name) for metric in result.metrics[:_N_TOLD])
    found = {name: value for _, name in told if (value := result[name].value) is not None}
    over = {"dead_fraction": f" in {result['dead_fraction'].n:,} tokens"} if "dead_fraction" in found else {}
    parts = [f"{label} {found[name]:.4g}{over.get(name, '')}" for label, name in told if name in found]
    numbers = ", ".join(parts) or f"nothing measured ({result[told[0][1]].why_missing})"
    return f"{result.subject}: {numbers}"


def run_config(run: RunFolder) -> RunConfig:
    """The config a run was made with."""
    return run_config_from_dict(run.record()["config"], where=str(run.path / "run.json"))
