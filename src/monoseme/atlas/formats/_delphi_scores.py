"""delphi's scores: what was judged of each window, one file for a latent."""

import json
from pathlib import Path
from typing import Any

from monoseme.atlas.annotations import read_judgements
from monoseme.atlas.formats._part import ExportPart
from monoseme.atlas.judgements import Judgement
from monoseme.atlas.said import Score
from monoseme.core.foreign import as_list, as_object, parse_json, read_bytes

_MOST_BYTES = 1 << 24
_SIDE = 16
_SILENT_DISTANCE = -1
_NAMES = {"llm_detection": "detection", "fuzzing": "fuzz"}


def write_scores(folder: Path, hookpoint: str, part: ExportPart) -> list[str]:
    """Write the judgements of whole windows that were told the latent's own explanation; says what is left out.

    A window is the 16 tokens on each side of its focus. Activations and probabilities of windows are not kept with judgements.
    """
    if part.scores is None:
        return []
    scorer = str(part.scores.artifact.config["scorer"])
    rows: dict[int, list[Judgement]] = {}
    for judgement in read_judgements(part.scores):
        is_own = judgement.told == "own" and judgement.document is not None and judgement.truth in (0.0, 1.0)
        if is_own and judgement.latent in part.explained:
            rows.setdefault(judgement.latent, []).append(judgement)
    if not rows:
        return [f"{part.scores.label}: scores without judgements of windows, which are all that delphi's hold"]
    place = folder / _NAMES.get(scorer, scorer)
    place.mkdir(parents=True, exist_ok=True)
    for latent, judged in rows.items():
        items = [_item(judgement, part) for judgement in judged]
        note = place / f"{hookpoint}_latent{latent}.txt"
        note.write_text(json.dumps(items, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    return [f"{part.scores.label}: activations of the windows, probabilities, and the controls"]


def read_score(file: Path, latent: int, name: str) -> Score | None:
    """The balanced accuracy of the windows judged in a file; None for a file that holds something else. Raises ForeignError."""
    rows = [as_object(row, where=str(file)) for row in as_list(read_note(file), where=str(file))]
    if not rows or not all(isinstance(row.get("activating"), bool) and "prediction" in row for row in rows):
        return None
    answered = [row for row in rows if isinstance(row["prediction"], bool | int)]
    rates: list[float] = []
    for is_firing in (True, False):
        told = [bool(row["prediction"]) == is_firing for row in answered if row["activating"] == is_firing]
        if not told:
            kind = "firing" if is_firing else "silent"
            return Score(latent=latent, name=name, value=None, why_missing=f"no answer about a {kind} window", n=len(answered))
        rates.append(sum(told) / len(told))
    return Score(latent=latent, name=name, value=sum(rates) / 2, n=len(answered))


def read_note(file: Path) -> Any:
    """What a file about one latent holds. Raises ForeignError."""
    return parse_json(read_bytes(file, most=_MOST_BYTES), where=str(file))


def _item(judgement: Judgement, part: ExportPart) -> dict[str, Any]:
    is_firing, document, position = judgement.truth == 1.0, judgement.document or 0, judgement.position or 0
    window = part.text.window(document, position, left=_SIDE, right=_SIDE - 1)
    return {
        "str_tokens": [part.text.token_text(token) for token in window.tokens.tolist()],
        "activations": [],
        "distance": _SILENT_DISTANCE if judgement.decile is None else judgement.decile + 1,
        "activating": is_firing,
        "prediction": judgement.says,
        "probability": None,
        "correct": None if judgement.says is None else judgement.says == is_firing,
    }
