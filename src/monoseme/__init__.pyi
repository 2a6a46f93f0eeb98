from monoseme.api import *  # noqa: F403 - the names of `monoseme.api.__all__`, for type checkers

__version__: str
