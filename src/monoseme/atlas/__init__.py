"""The atlas: what every latent of an SAE does over a text, and what is said about it. Torch is imported only when needed."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from monoseme.atlas.annotate import explain_latents, score_explanations
    from monoseme.atlas.annotations import Annotation
    from monoseme.atlas.atlas import Atlas, check_atlas, open_atlas
    from monoseme.atlas.explain import EXPLAINERS
    from monoseme.atlas.explain._base import Explainer
    from monoseme.atlas.pages import Decile, Example, Histogram, LatentPage, LatentStats, TokenLogit
    from monoseme.atlas.said import Condition, Explanation, Rule, Score
    from monoseme.atlas.scanning.feed import Target
    from monoseme.atlas.scanning.one_pass import PassOptions
    from monoseme.atlas.scanning.plan import ScanConfig
    from monoseme.atlas.scanning.running import ScanResult, scan
    from monoseme.atlas.scanning.state import LatentState, StateConfig, merge_states
    from monoseme.atlas.scanning.state_file import load_state, save_state
    from monoseme.atlas.scanning.text_draft import TextNames, names_of
    from monoseme.atlas.score import SCORERS
    from monoseme.atlas.score._base import Scorer
    from monoseme.atlas.table import LatentTable
    from monoseme.atlas.text_store import TextStore, TextWindow

__all__ = [
    "EXPLAINERS",
    "SCORERS",
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
    "PassOptions",
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
    "load_state",
    "merge_states",
    "names_of",
    "open_atlas",
    "save_state",
    "scan",
    "score_explanations",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "annotate": ["explain_latents", "score_explanations"],
        "annotations": ["Annotation"],
        "atlas": ["Atlas", "check_atlas", "open_atlas"],
        "explain": ["EXPLAINERS"],
        "explain._base": ["Explainer"],
        "scanning.feed": ["Target"],
        "scanning.one_pass": ["PassOptions"],
        "pages": ["Decile", "Example", "Histogram", "LatentPage", "LatentStats", "TokenLogit"],
        "said": ["Condition", "Explanation", "Rule", "Score"],
        "scanning.plan": ["ScanConfig"],
        "scanning.running": ["ScanResult", "scan"],
        "score": ["SCORERS"],
        "score._base": ["Scorer"],
        "scanning.state": ["LatentState", "StateConfig", "merge_states"],
        "scanning.state_file": ["load_state", "save_state"],
        "table": ["LatentTable"],
        "scanning.text_draft": ["TextNames", "names_of"],
        "text_store": ["TextStore", "TextWindow"],
    },
)
