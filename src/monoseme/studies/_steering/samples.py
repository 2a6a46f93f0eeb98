"""The page of samples: for each latent what the model writes without and with steering, side by side. Text is shown as text."""

from collections.abc import Mapping, Sequence
from html import escape

from monoseme.studies._steering.outcome import Measured, SuccessRule
from monoseme.studies._steering.tables import Found, arm_names

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse;width:100%;table-layout:fixed}td,th{border-top:1px solid #8886;padding:.3rem .5rem;"
    "text-align:left;vertical-align:top;overflow-wrap:anywhere}th:first-child{width:14rem}code{white-space:pre-wrap}"
)


def samples_page(
    found: Sequence[Found], prompts: Sequence[str], words: Mapping[int, str], *, n: int, unit: str, rule: SuccessRule
) -> bytes:
    """One HTML page without scripts; `n` prompts for each latent, of those that no strength was chosen on."""
    shown = list(range(1, len(prompts), 2))[:n]
    arms = arm_names(found)
    body = "".join(_latent(each, prompts, words, shown, unit=unit, rule=rule, arms=arms) for each in found)
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Steered texts</title><style>{_STYLE}</style>'
    told = "<h1>Steered texts</h1><p>At the best strength of each way; prompts that no strength was chosen on.</p>"
    return f"{head}{told}{body}".encode(errors="replace")


def _latent(
    each: Found,
    prompts: Sequence[str],
    words: Mapping[int, str],
    shown: Sequence[int],
    *,
    unit: str,
    rule: SuccessRule,
    arms: Sequence[str],
) -> str:
    about = each.latent
    concept = ", ".join(f"<code>{escape(words.get(token, str(token)))}</code>" for token in about.concept.tokens)
    title = (
        f"<h2>{escape(each.subject)}, latent {about.latent}</h2><p>{escape(about.explanation or '')}<br>Concept: {concept}</p>"
    )
    if each.steered is None:
        return f"{title}<p>Not steered: {escape(about.concept.why_missing or '')}.</p>"
    rows = [_row("unsteered", each.steered.unsteered, shown)]
    for arm in arms:
        best = each.best(arm, rule)
        if best is not None and best.strength is not None:
            texts = next(texts for strength, texts in each.steered.arms[arm] if strength == best.strength)
            rows.append(_row(f"{arm}, {best.strength:g} {unit}" if len(each.steered.arms[arm]) > 1 else arm, texts, shown))
    heads = "".join(f"<th><code>{escape(prompts[i])}</code></th>" for i in shown)
    return f"{title}<table><tr><th></th>{heads}</tr>{''.join(rows)}</table>"


def _row(name: str, texts: Sequence[Measured], shown: Sequence[int]) -> str:
    cells = "".join(f"<td><code>{escape(texts[i].text)}</code></td>" for i in shown)
    return f"<tr><th>{escape(name)}</th>{cells}</tr>"
