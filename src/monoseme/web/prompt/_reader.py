"""Reads texts for the prompt page."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from starlette.concurrency import run_in_threadpool

from monoseme.web.prompt._known import KnownLatents
from monoseme.web.prompt.answers import PromptReading
from monoseme.web.run_files import RunFiles, ScannedSae, UnavailableError

if TYPE_CHECKING:
    from monoseme.models import LanguageModel
    from monoseme.saes import SAE
    from monoseme.web.prompt._forward import Forward

T = TypeVar("T")


class PromptReader:
    """Runs one run's model and SAEs on texts. What the model does is the worker's, what the atlas knows is looked up beside it.

    Each method raises UnavailableError when the model or the SAE is not there, or the SAE needs a second model, and ConfigError
    for a text that has no tokens.
    """

    # Torch and transformers take seconds to import, and no other page needs them: what works with them is imported by methods.

    def __init__(self, files: RunFiles) -> None:
        self._files = files

    async def read(self, sae: str, text: str) -> PromptReading:
        """The latents of an SAE on a text; works without an atlas, then with no explanations."""
        from monoseme.web.prompt._reading import latents_of, over_prompt, read_tokens
        from monoseme.web.prompt._views import views_of

        asked, started = self._asked(sae), time.monotonic()
        forward, read = await self._over(asked, text, lambda forward: (forward, read_tokens(forward)))
        seconds = time.monotonic() - started

        def answer() -> PromptReading:
            known, found = KnownLatents(self._files, asked), latents_of(read.tokens)
            key = known.shown_key(str(forward.site))
            return PromptReading(
                sae=sae,
                text=text,
                tokens=read.tokens,
                latents=over_prompt(found, known.rows(key, found)),
                n_latents_fired=len(found),
                truncated=read.truncated,
                seconds=seconds,
                views=views_of(forward, key=key),
            )

        return await run_in_threadpool(answer)

    def _asked(self, sae: str) -> ScannedSae:
        asked = self._files.sae(sae)
        if any(site.model is not None for site in asked.sites):
            raise UnavailableError("this SAE reads two models side by side; prompts are run through one")
        return asked

    async def _over(self, asked: ScannedSae, text: str, work: "Callable[[Forward], T]") -> T:
        """What `work` makes of a forward on the text."""
        from monoseme.web.prompt._forward import forward_on

        bos = self._files.begins_with_bos
        return await self._with(asked, lambda model, sae: work(forward_on(model, sae, asked, text, begins_with_bos=bos)))

    async def _with(self, asked: ScannedSae, work: "Callable[[LanguageModel, SAE], T]") -> T:
        worker = self._files.worker
        return await worker.call(self._files.model, lambda model: work(model, worker.sae(asked.path, model)))
