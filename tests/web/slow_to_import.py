"""Tells in which thread it was imported."""

import threading

IMPORTED_IN = threading.get_ident()
