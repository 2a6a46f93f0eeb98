"""Studies: one file per question, each composing the other packages and writing one report with tables, figures and text."""

from typing import TYPE_CHECKING

from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.studies._base import Study

STUDIES: "Registry[Study]" = Registry(kind="studies", package="monoseme.studies", base="monoseme.studies._base:Study")
"""All studies that are installed."""

__all__ = ["STUDIES"]
