"""What `monoseme study` found: the list of studies, and the page of each."""

from monoseme.web.studies._shelf import StudyShelf
from monoseme.web.studies.routes import router

__all__ = ["StudyShelf", "router"]
