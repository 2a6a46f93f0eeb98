"""The atlas: what every latent of an SAE does over a text, and what is said about it. Torch is imported only when needed."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monoseme.atlas.annotate import explain_latents, score_explanations
    from monoseme.atlas.annotations import Annotation
    from monoseme.atlas.atlas import Atlas, check_atlas, open_atlas
    from monoseme.atlas.explain import explainers
    from monoseme.atlas.explain._base import Explainer
    from monoseme.atlas.feed import Target
    from monoseme.atlas.pages import Decile, Example, Histogram, LatentPage, LatentStats, TokenLogit
    from monoseme.atlas.said import Condition, Explanation, Rule, Score
    from monoseme.atlas.scanning import ScanConfig, ScanResult, scan
    from monoseme.atlas.score import scorers
    from monoseme.atlas.score._base import Scorer
    from monoseme.atlas.state import LatentState, StateConfig, merge_states
    from monoseme.atlas.state_file import load_state, save_state
    from monoseme.atlas.table import LatentTable
    from monoseme.atlas.text_draft import TextNames, names_of
    from monoseme.atlas.text_store import TextStore, TextWindow

__all__ = [
    "Annotation",
    "Atlas",
    "Condition",
    "Decile",
    "Example",
    "Explainer",
    "Explanation",
    "Histogram",
    "LatentPage",
    "LatentState",
    "LatentStats",
    "LatentTable",
    "Rule",
    "ScanConfig",
    "ScanResult",
    "Score",
    "Scorer",
    "StateConfig",
    "Target",
    "TextNames",
    "TextStore",
    "TextWindow",
    "TokenLogit",
    "check_atlas",
    "explain_latents",
    "explainers",
    "load_state",
    "merge_states",
    "names_of",
    "open_atlas",
    "save_state",
    "scan",
    "score_explanations",
    "scorers",
]

_HOMES = {
    "Annotation": "annotations",
    "Atlas": "atlas",
    "Condition": "said",
    "Decile": "pages",
    "Example": "pages",
    "Explainer": "explain._base",
    "Explanation": "said",
    "Histogram": "pages",
    "LatentPage": "pages",
    "LatentState": "state",
    "LatentStats": "pages",
    "LatentTable": "table",
    "Rule": "said",
    "ScanConfig": "scanning",
    "ScanResult": "scanning",
    "Score": "said",
    "Scorer": "score._base",
    "StateConfig": "state",
    "Target": "feed",
    "TextNames": "text_draft",
    "TextStore": "text_store",
    "TextWindow": "text_store",
    "TokenLogit": "pages",
    "check_atlas": "atlas",
    "explain_latents": "annotate",
    "explainers": "explain",
    "load_state": "state_file",
    "merge_states": "state",
    "names_of": "text_draft",
    "open_atlas": "atlas",
    "save_state": "state_file",
    "scan": "scanning",
    "score_explanations": "annotate",
    "scorers": "score",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
