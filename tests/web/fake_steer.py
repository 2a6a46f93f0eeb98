"""Steering out of thin air: the steer page's addresses over made-up runs, writing words at a pace that a test chooses."""

import asyncio
import random
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI
from fastapi.responses import StreamingResponse

from monoseme.web._app import app_over
from monoseme.web.run_files import UnavailableError
from monoseme.web.steer import answers
from monoseme.web.steer.asked import LIMITS, SteerAsked

from .fake_run import HOSTILE, N_LATENTS, WORDS, FakeRun

BUSY_PROMPT, BROKEN_PROMPT, SLOW_PROMPT = "a full queue", "a model that fails", "a slow one"
PLACES_BEFORE = 2


class FakeSteer:
    """The server's part. `asked` keeps what pages asked for, `n_closed` counts streams that the page closed before their end."""

    def __init__(self) -> None:
        self.asked: list[SteerAsked] = []
        self.n_closed = 0

    def app(self, *runs: FakeRun) -> FastAPI:
        """The app over made-up runs, with this in front of its own addresses."""
        app = app_over(runs)
        router = APIRouter()
        router.get("/api/runs/{run}/steer")(self.options)
        router.post("/api/runs/{run}/steer")(self.write)
        # Routes are tried in order, and the last one takes every path.
        app.router.routes[:0] = router.routes
        return app

    def options(self, run: str) -> answers.SteerOptions:
        """What there is to steer with."""
        switch = answers.MethodOption(
            name="error_term", type="switch", default=True, choices=[], help="Keep what the SAE does not reconstruct."
        )
        words = answers.MethodOption(name="instruction", type="text", default="", choices=[], help="The words.")
        units = ["max", "norm", "raw"]
        return answers.SteerOptions(
            saes=[
                answers.SteerSae(key="topk", site="resid_post.3", n_latents=N_LATENTS, why_not=None, has_maxima=True),
                answers.SteerSae(key="bare", site="resid_post.1", n_latents=67, why_not=None, has_maxima=False),
                answers.SteerSae(key="pair", site="resid_post.1", n_latents=67, why_not="it reads two models", has_maxima=True),
            ],
            methods=[
                _method("additive", "h + c w", units),
                _method("clamp", "f := c", units, switch),
                _method("orthogonal", "(I - P) h + c P h", ["raw"]),
                _method("prompt", "instruction + text", units, words, needs_latents=False),
            ],
            units=units,
            limits=LIMITS,
            has_chat_template=False if run == "demo" else None,
            why_no_model=None if run == "demo" else "the model of this run is not at models/gone",
        )

    async def write(self, run: str, asked: SteerAsked) -> StreamingResponse:
        """The events of a request."""
        self.asked.append(asked)
        if BUSY_PROMPT in asked.prompts:
            raise UnavailableError("the queue is full\n  Try again in a few seconds.")
        return StreamingResponse(self._told(asked), media_type="text/event-stream")

    async def _told(self, asked: SteerAsked) -> AsyncIterator[str]:
        ended = False
        try:
            for event in _events(asked):
                yield f": still here\n\nevent: {event.event}\ndata: {event.model_dump_json()}\n\n"
                await asyncio.sleep(0.05 if SLOW_PROMPT in asked.prompts else 0.001)
            ended = True
        finally:
            self.n_closed += not ended


def _method(
    name: str, formula: str, units: list[str], *options: answers.MethodOption, needs_latents: bool = True
) -> answers.SteerMethod:
    return answers.SteerMethod(
        name=name, summary=f"How {name} steers.", formula=formula, needs_latents=needs_latents, units=units, options=list(options)
    )


def _events(asked: SteerAsked) -> list[answers.Event]:
    seed = 4711 if asked.sampling.seed is None else asked.sampling.seed
    prompts = [asked.chat.turns[-1].content] if asked.chat else asked.prompts
    watched = [f"{item.sae}:{item.latent}" for item in asked.watch]
    given = [
        answers.PromptTokens(arm=arm, row=row, tokens=["<s>", *prompt.split(" ")])
        for arm in asked.arms
        for row, prompt in enumerate(prompts)
    ]
    events: list[answers.Event] = [
        answers.Queued(ahead=PLACES_BEFORE),
        answers.Started(seed=seed, arms=asked.arms, watched=watched, prompts=given, replay=f'monoseme generate "{prompts[0]}"'),
    ]
    if BROKEN_PROMPT in prompts:
        return [*events, answers.Failed(error="the model has run out of memory", hint="Ask for fewer tokens.")]
    texts = [_words(item, asked, seed) for item in given]
    for step in range(asked.sampling.max_new_tokens):
        for item, text in zip(given, texts, strict=True):
            events += _step(item, text, step, watched)
    events += [
        answers.Ended(arm=item.arm, row=item.row, text="".join(text), is_ended=False, reason="length")
        for item, text in zip(given, texts, strict=True)
    ]
    return [*events, answers.Done(n_tokens=sum(map(len, texts)), seconds=0.5)]


def _words(item: answers.PromptTokens, asked: SteerAsked, seed: int) -> list[str]:
    """The same three words in both arms, then each its own; the steered one meets markup."""
    n = asked.sampling.max_new_tokens
    shared, own = random.Random(f"{seed} {item.row}"), random.Random(f"{seed} {item.row} {item.arm} {asked.method}")
    words = [f" {(shared if i < 3 else own).choice(WORDS)}" for i in range(n)]
    if item.arm == "steered" and n > 5:
        words[5] = f" {HOSTILE}\u202eabc\n"
    return words


def _step(item: answers.PromptTokens, text: list[str], step: int, watched: list[str]) -> list[answers.Event]:
    place = len(item.tokens) + step
    where = {"arm": item.arm, "row": item.row}
    rng = random.Random(f"{place} {item.arm}")
    values = {name: max(0.0, rng.uniform(-9, 12)) for name in watched}
    return [
        answers.NewToken(**where, place=place, text=text[step], token=text[step]),
        answers.Values(**where, place=place, values=values),
    ]
