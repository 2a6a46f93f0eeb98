"""The evaluation stage: SAEs measured on held-out text, one report artifact each."""

from collections.abc import Sequence

from monoseme.core.config import to_dict
from monoseme.core.display import get_display
from monoseme.evaluation import EvalResult, EvalSubject, write_report
from monoseme.evaluation.fidelity import Fidelity
from monoseme.pipeline._config import RunConfig, run_config_from_dict
from monoseme.pipeline._folder import RunFolder, refuse_again
from monoseme.pipeline._materials import Materials
from monoseme.pipeline._saes import NamedSae, open_saes

_FIDELITY = "fidelity"


def evaluate_run(run: RunFolder, *, materials: Materials | None = None, overwrite: bool = False) -> dict[str, EvalResult]:
    """Measures every SAE of the run on one pass over its held-out documents; results by name.

    Raises ArtifactExistsError for one measured before unless `overwrite`, and what the model and the text raise.
    """
    saes = open_saes(str(run.path))
    for sae in saes:
        refuse_again(run.evaluation(sae.name, _FIDELITY), overwrite=overwrite)
    materials = materials or Materials(run_config(run))
    results = {result.subject: result for result in measure(saes, materials)}
    for sae in saes:
        path = run.evaluation(sae.name, _FIDELITY)
        inputs = {"model": materials.model.content_hash(), "text": materials.text.content_hash}
        if sae.content_hash is not None:
            inputs["sae"] = sae.content_hash
        config = {"evaluation": _FIDELITY, **to_dict(materials.config.fidelity)}
        seeds = {"bootstrap": materials.config.fidelity.seed}
        write_report(results[sae.name], path, config=config, inputs=inputs, seeds=seeds, overwrite=overwrite)
        run.add({"evaluations": {sae.name: {_FIDELITY: f"evaluations/{sae.name}/{_FIDELITY}"}}})
    return results


def measure(saes: Sequence[NamedSae], materials: Materials) -> list[EvalResult]:
    """Fidelity of any SAEs on the held-out documents of `materials`, nothing written."""
    subjects = [
        EvalSubject(
            name=sae.name,
            sae=sae.sae,
            sites=sae.sites,
            source=materials.held_out,
            model=materials.model,
            domain_of=materials.domain_of,
        )
        for sae in saes
    ]
    results = Fidelity(materials.config.fidelity).run_many(subjects)
    for result in results:
        get_display().say(headline(result))
    return results


def headline(result: EvalResult) -> str:
    """The numbers that people ask for first, on a line."""
    told = (("FVU", "fvu"), ("L0", "l0"), ("CE recovered", "ce_recovered"), ("dead", "dead_fraction"))
    parts = [f"{label} {value:.4g}" for label, name in told if (value := result[name].value) is not None]
    numbers = ", ".join(parts) or f"nothing measured ({result['fvu'].why_missing})"
    return f"{result.subject}: {numbers}"


def run_config(run: RunFolder) -> RunConfig:
    """The config a run was made with."""
    return run_config_from_dict(run.record()["config"], where=str(run.path / "run.json"))
