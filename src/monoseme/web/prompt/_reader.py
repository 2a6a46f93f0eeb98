"""Reads texts for the prompt page."""

from monoseme.web.latents import LatentsReader
from monoseme.web.prompt.answers import PromptReading
from monoseme.web.run_files import RunFiles, UnavailableError


class PromptReader:
    """Runs one run's model and SAEs on texts."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files

    async def read(self, sae: str, text: str) -> PromptReading:
        """The latents of an SAE on a text; works without an atlas, then with no explanations.

        Raises UnavailableError when the model or the SAE is not there, or the SAE needs a second model.
        """
        # Torch and transformers take seconds to import, and no other page needs them.
        from monoseme.web.prompt._reading import over_prompt, read_tokens

        files, asked = self._files, self._files.sae(sae)
        if any(site.model is not None for site in asked.sites):
            raise UnavailableError("this SAE reads two models side by side; prompts are run through one")
        worker = files.worker
        read = await worker.call(
            files.model,
            lambda model: read_tokens(model, worker.sae(asked.path, model), asked, text, begins_with_bos=files.begins_with_bos),
        )
        rows = files.page(LatentsReader).table(sae).rows if sae in files.scanned() else lambda _: {}
        latents = over_prompt(read.tokens, rows)
        return PromptReading(
            sae=sae,
            text=text,
            tokens=read.tokens,
            latents=latents,
            n_latents_fired=len(latents),
            truncated=read.truncated,
            seconds=read.seconds,
        )
