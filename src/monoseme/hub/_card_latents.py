"""The part of a model card that shows latents: explanations beside what they are held against, and the strongest example."""

from collections.abc import Sequence

from monoseme.atlas.score_summary import CONTROLS
from monoseme.hub._text import shown, table
from monoseme.reports import LatentSample, RunReport, SaeReport

_N_LATENTS = 6


def latents(report: RunReport | None, labels: Sequence[str]) -> str:
    """Markdown with the best explained latents of each SAE; `labels` of explanations that travel, empty text without any."""
    saes = () if report is None else report.saes
    parts = [part for sae in saes for part in _latents_of(sae)] if labels else []
    if not parts:
        return ""
    told = ", ".join(f"<code>{shown(name)}</code>" for name in labels)
    note = (
        f"Explanations travel with the SAE (labels: {told}). Shown are the best explained ones: the others are worse. They are "
        "ordered by the lower end of the score's 95 % interval, so that none is first that did well on a few firings. The score "
        "is balanced accuracy at telling held-out text on which the latent fires from text on which it does not; 0.5 is chance. "
        "Beside it stands what the same test gives to another latent's explanation and to none."
    )
    return "\n\n".join(["## Latents, for example", note, *parts])


def _latents_of(sae: SaeReport) -> list[str]:
    rows = [_latent_row(sample) for sample in sae.samples[:_N_LATENTS] if sample.explanation is not None]
    means = [
        f"Over all {summary.own.n_latents:,} scored latents: {shown(summary.name)} {summary.own.mean:.3f}"
        + "".join(f"; {words} {summary.controls[key].mean:.3f}" for key, words in CONTROLS.items() if key in summary.controls)
        for summary in sae.scores[:1]
        if summary.own is not None
    ]
    head = ("latent", "explanation", "score", "another's", "none", "strongest example")
    return [f"### `{sae.name}`", table(head, rows), *means] if rows else []


def _latent_row(sample: LatentSample) -> tuple[str, ...]:
    score, controls = sample.score, {one.name.rsplit("_", 1)[-1]: one.value for one in sample.controls}
    value = "–"
    if score is not None and score.value is not None:
        value = f"{score.value:.3f}"
        if score.low is not None and score.high is not None:
            value += f" &#91;{score.low:.3f}, {score.high:.3f}&#93;"
        value += f", n = {score.n}" if score.n else ""
    beside = (f"{found:.3f}" if (found := controls.get(name)) is not None else "–" for name in ("other", "empty"))
    return (str(sample.latent), shown(sample.explanation or "–"), value, *beside, _example(sample))


def _example(sample: LatentSample) -> str:
    """The strongest firing with some tokens around it, the firing ones bold."""
    if not sample.examples:
        return "–"
    example = sample.examples[0]
    peak = max(range(len(example.values)), key=lambda i: example.values[i])
    start = max(0, peak - 8)
    return "".join(
        f"<b>{shown(text)}</b>" if value > 0 else shown(text)
        for text, value in zip(example.tokens[start : peak + 5], example.values[start : peak + 5], strict=True)
    )
