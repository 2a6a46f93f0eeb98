"""monoseme: train, measure, explain and steer with sparse autoencoders on language models."""

# The names are loaded on first use, see below.
# pyright: reportUnsupportedDunderAll=false

from monoseme.core.lazy import lazy_attributes

__version__ = "0.1.0"

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
    "__version__",
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

# On first use: commands that print help import this package, and torch takes seconds. Type checkers read `__init__.pyi`: an
# import here, even for them alone, would be one of every layer that asks for the version.
__getattr__ = lazy_attributes(__name__, {"api": [name for name in __all__ if name != "__version__"]})
