"""The prompt page: what an SAE makes of a text of one's own."""

from monoseme.web.prompt._reader import PromptReader
from monoseme.web.prompt.routes import router

__all__ = ["PromptReader", "router"]
