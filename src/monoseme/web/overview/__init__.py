"""The list of runs, and the first page of each."""

from monoseme.web.overview._reader import OverviewReader
from monoseme.web.overview.routes import router

__all__ = ["OverviewReader", "router"]
