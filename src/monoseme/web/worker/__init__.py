"""The one thread that runs language models for all pages."""

from monoseme.web.worker._calls import Unread
from monoseme.web.worker._clients import TAB_HEADER, ClientNames
from monoseme.web.worker._kept import ModelLoader
from monoseme.web.worker._slots import TooBusyError, WorkerLimits
from monoseme.web.worker._stream import EventStream
from monoseme.web.worker._worker import ModelWorker
from monoseme.web.worker._writing import Writing

__all__ = [
    "TAB_HEADER",
    "ClientNames",
    "EventStream",
    "ModelLoader",
    "ModelWorker",
    "TooBusyError",
    "Unread",
    "WorkerLimits",
    "Writing",
]
