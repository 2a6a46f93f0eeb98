"""Everything the command line does as functions, with results that show themselves in notebooks. Offered as `monoseme.NAME`.

Importing this imports no torch.
"""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from monoseme.api._checking import check
    from monoseme.api._exchange import export_atlas, export_sae, import_activations, import_notes, import_sae, pull, push
    from monoseme.api._generated import Generated
    from monoseme.api._latent_page import LatentPage
    from monoseme.api._latent_table import LatentTable
    from monoseme.api._making import capture, demo, plan, recipe, resume, run, sentences, train
    from monoseme.api._measuring import evaluate, explain, report, scan, score, search, verify
    from monoseme.api._metric_table import Interval, MetricTable
    from monoseme.api._open import open
    from monoseme.api._others import bench, ls, serve, study
    from monoseme.api._pictures import Picture
    from monoseme.api._plan_table import PlanTable
    from monoseme.api._reading import Reading
    from monoseme.api._run import Run
    from monoseme.api._sae import Sae
    from monoseme.api._sae_card import SaeCard
    from monoseme.api._study_report import StudyReport
    from monoseme.api._table import Table
    from monoseme.api._token_strip import TokenStrip
    from monoseme.api._writing import Chat, chat, generate, steer

__all__ = [
    "Chat",
    "Generated",
    "Interval",
    "LatentPage",
    "LatentTable",
    "MetricTable",
    "Picture",
    "PlanTable",
    "Reading",
    "Run",
    "Sae",
    "SaeCard",
    "StudyReport",
    "Table",
    "TokenStrip",
    "bench",
    "capture",
    "chat",
    "check",
    "demo",
    "evaluate",
    "explain",
    "export_atlas",
    "export_sae",
    "generate",
    "import_activations",
    "import_notes",
    "import_sae",
    "ls",
    "open",
    "plan",
    "pull",
    "push",
    "recipe",
    "report",
    "resume",
    "run",
    "scan",
    "score",
    "search",
    "sentences",
    "serve",
    "steer",
    "study",
    "train",
    "verify",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "_checking": ["check"],
        "_exchange": ["export_atlas", "export_sae", "import_activations", "import_notes", "import_sae", "pull", "push"],
        "_generated": ["Generated"],
        "_latent_page": ["LatentPage"],
        "_latent_table": ["LatentTable"],
        "_making": ["capture", "demo", "plan", "recipe", "resume", "run", "sentences", "train"],
        "_measuring": ["evaluate", "explain", "report", "scan", "score", "search", "verify"],
        "_metric_table": ["Interval", "MetricTable"],
        "_open": ["open"],
        "_others": ["bench", "ls", "serve", "study"],
        "_pictures": ["Picture"],
        "_plan_table": ["PlanTable"],
        "_reading": ["Reading"],
        "_run": ["Run"],
        "_sae": ["Sae"],
        "_sae_card": ["SaeCard"],
        "_study_report": ["StudyReport"],
        "_table": ["Table"],
        "_token_strip": ["TokenStrip"],
        "_writing": ["Chat", "chat", "generate", "steer"],
    },
)
