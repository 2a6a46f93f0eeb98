"""Studies: one file per question, each composing the other packages and writing one report with tables, figures and text."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes
from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.studies._base import Comparison, Finding, Study, StudyResult
    from monoseme.studies._reading import WrittenFigure, WrittenReport, find_studies, read_study
    from monoseme.studies._record import StudyRecord, read_record
    from monoseme.studies._run import run_study

STUDIES: "Registry[Study]" = Registry(kind="studies", package="monoseme.studies", base="monoseme.studies._base:Study")
"""All studies that are installed."""

__all__ = [
    "STUDIES",
    "Comparison",
    "Finding",
    "Study",
    "StudyRecord",
    "StudyResult",
    "WrittenFigure",
    "WrittenReport",
    "find_studies",
    "read_record",
    "read_study",
    "run_study",
]

# On first use: `monoseme ls` imports this package.
__getattr__ = lazy_attributes(
    __name__,
    {
        "_base": ["Comparison", "Finding", "Study", "StudyResult"],
        "_reading": ["WrittenFigure", "WrittenReport", "find_studies", "read_study"],
        "_record": ["StudyRecord", "read_record"],
        "_run": ["run_study"],
    },
)
