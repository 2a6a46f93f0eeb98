"""A run out of thin air: reads like a real one, needs no model, and holds every kind of text that could break a page."""

import random
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from monoseme.web.latent.answers import ExampleGroup, ExplanationText, LatentCard, LatentDetail, Logits, Score
from monoseme.web.latents import LatentQuery
from monoseme.web.latents._table import LatentsTable
from monoseme.web.latents.answers import LatentTable
from monoseme.web.overview.answers import Chart, Fact, RunOverview, RunSummary, SaeSummary
from monoseme.web.prompt.answers import Firing, PromptLatent, PromptReading, PromptToken, PromptViews
from monoseme.web.run_files import NotFoundError, UnavailableError
from monoseme.web.values import Example, Histogram, LogitToken, MetricValue

HOSTILE = '<script>window.hacked = 1</script><img src=x onerror="window.hacked=1"> \'single\' "double" &amp; </td>'
TEXT = """ the dog ran to a big red house and said hello , it was very happy . One day Lily found an old key in her garden ↵
 “ Where are you going ?” asked Tom . Mum smiled <b>not bold</b> and returned None if x is not a list"""
WORDS = [word.replace("↵", "\n") for word in TEXT.split()]
N_LATENTS = 601
DEAD, HOSTILE_LATENT, UNEXPLAINED, NO_LOGITS = 7, 11, 13, 17


class FakeRun:
    """`with_model` False plays a run whose model is gone."""

    def __init__(self, id: str = "demo", *, with_model: bool = True, saes: tuple[str, ...] = ("topk", "batchtopk")) -> None:
        self.id, self._with_model, self._saes = id, with_model, saes
        rows = pa.Table.from_pylist([_row(i) for i in range(N_LATENTS)])
        self._table = LatentsTable(rows, sae="topk", score_name="detection", n_tokens=1_000_000)

    def summary(self) -> RunSummary:
        return RunSummary(
            id=self.id, name=self.id, path=f"runs/{self.id}", model="bundled", site="resid_post.3", saes=list(self._saes)
        )

    def overview(self) -> RunOverview:
        return RunOverview(
            id=self.id,
            name=f"run {HOSTILE}",
            model="bundled",
            site="resid_post.3",
            corpus="bundled",
            facts=[
                Fact(label="Tokens", value="1,000,000", help="Read in training."),
                Fact(label="Seed", value="0"),
            ],
            saes=[_sae(name, i) for i, name in enumerate(self._saes)],
            charts=[
                Chart(name="fvu", title="FVU", group="training"),
                Chart(name="loss", title="Loss", group="training"),
                Chart(name="density", title="How often latents fire", group="measured", caption="Dead latents are not shown."),
            ],
        )

    def chart(self, name: str) -> dict[str, Any]:
        values = [{"tokens": 1000 * i, "value": 1 / (1 + i), "sae": sae} for i in range(40) for sae in self._saes]
        if name == "density":
            return _histogram([1, 4, 9, 25, 40, 31, 12, 3])
        if name not in ("fvu", "loss"):
            raise NotFoundError(f"no chart {name!r}")
        encoding = {
            "x": {"field": "tokens", "type": "quantitative"},
            "y": {"field": "value", "type": "quantitative"},
            "color": {"field": "sae", "type": "nominal"},
        }
        return {"data": {"values": values}, "mark": {"type": "line", "tooltip": True}, "encoding": encoding}

    def page(self, reader: type) -> Any:
        """What a page asks, by the name of its reader."""

        async def read(sae: str, text: str) -> PromptReading:
            return self.read_prompt(sae, text)

        return {
            "OverviewReader": self,
            "LatentsReader": SimpleNamespace(
                page=self.latents,
                random=self.random_latent,
                columns=lambda sae: self._table.columns(),
                values=lambda sae, names: self._table.values(names),
                passing=lambda sae, asked: self._table.passing(asked),
            ),
            "LatentReader": SimpleNamespace(detail=self.latent, card=self.card),
            "PromptReader": SimpleNamespace(read=read),
        }[reader.__name__]

    def latents(self, sae: str, query: LatentQuery) -> LatentTable:
        self._check(sae)
        return self._table.page(query)

    def latent(self, sae: str, index: int) -> LatentDetail:
        self._check(sae, index)
        row, dead = _row(index), index == DEAD
        top = row["max"] or 0.0
        strong = ExampleGroup(name="Strongest", low=None, high=None, examples=_examples(index, top, 12))
        tenths = [
            ExampleGroup(
                name=f"Decile {10 - i}",
                low=top * 0.09 * (9 - i),
                high=top * 0.09 * (10 - i),
                examples=_examples(index * 31 + i, top * (1 - i / 10), 3),
            )
            for i in range(10)
            if not dead
        ]
        return LatentDetail(
            sae=sae,
            index=index,
            n_latents=N_LATENTS,
            density=row["density"],
            n_active=0 if dead else round(row["density"] * 1_000_000),
            n_tokens=1_000_000,
            n_documents=None if dead else 41,
            why_missing="never fired in 1,000,000 tokens" if dead else None,
            max=row["max"],
            mean=None if dead else row["max"] / 4,
            explanations=_explanations(row),
            groups=[] if dead else [strong, *tenths],
            histogram=_bins(index),
            logits=None if index == NO_LOGITS else _logits(index),
            why_no_logits="mlp_in.3 does not write to the residual stream" if index == NO_LOGITS else None,
            previous=index - 1 if index else None,
            next=index + 1 if index + 1 < N_LATENTS else None,
        )

    def card(self, sae: str, index: int) -> LatentCard:
        self._check(sae, index)
        row, dead = _row(index), index == DEAD
        return LatentCard(
            sae=sae,
            index=index,
            density=row["density"],
            max=row["max"],
            explanation=row["explanation"],
            score=row["score"],
            histogram=_bins(index),
            top_tokens=row["top_tokens"],
            promoted=[token.token for token in _logits(index).top],
            examples=[] if dead else _examples(index, row["max"] or 0.0, 3),
        )

    def random_latent(self, sae: str) -> int:
        self._check(sae)
        index = self._table.random_alive()
        assert index is not None
        return index

    def read_prompt(self, sae: str, text: str) -> PromptReading:
        self._check(sae)
        if not self._with_model:
            raise UnavailableError("the model of this run is not at models/gone\n  Put it back, or serve where it is.")
        words = ["<s>", *(f" {word}" if i else word for i, word in enumerate(text.split(" ")))]
        tokens = [
            PromptToken(text=word, special=i == 0, firings=_firings(i, word), n_firings=6 if i else 0)
            for i, word in enumerate(words)
        ]
        return PromptReading(
            sae=sae,
            text=text,
            tokens=tokens,
            latents=_fired(tokens),
            n_latents_fired=len(_fired(tokens)),
            truncated="",
            seconds=0.02,
            views=PromptViews(
                name=sae, key=sae, site="resid_post.3", unit="activation", layers=[], parts=[], logit_sites=["resid_post.3"]
            ),
        )

    def _check(self, sae: str, index: int = 0) -> None:
        if sae not in self._saes:
            raise NotFoundError(f"no SAE {sae!r} in the run {self.id!r}")
        if not 0 <= index < N_LATENTS:
            raise NotFoundError(f"no latent {index}: {sae} has {N_LATENTS}\n  Its latents are numbered 0 to {N_LATENTS - 1}.")


def _row(index: int) -> dict[str, Any]:
    rng = random.Random(index)
    dead = index == DEAD
    words = rng.sample(WORDS, 4)
    explanation = f"fires on “{words[0]}” and “{words[1]}”, mostly after “{words[2]}”"
    if index == HOSTILE_LATENT:
        explanation = HOSTILE
    density, largest = 0.0 if dead else 10 ** rng.uniform(-5, -0.5), None if dead else rng.uniform(0.5, 20)
    score = None if dead or index == UNEXPLAINED else rng.uniform(0.4, 1)
    n = 4 if index % 9 == 0 else 60  # every ninth rests on little
    return {
        "index": index,
        "density": density,
        "max": largest,
        "explanation": None if dead or index == UNEXPLAINED else explanation,
        "score": score,
        "score_low": None if score is None else score - (0.3 if n == 4 else 0.06),
        "score_n": None if score is None else n,
        "top_tokens": [] if dead else [f" {word}" for word in words],
    }


def _examples(seed: int, top: float, n: int) -> list[Example]:
    rng = random.Random(seed)
    found = []
    for i in range(n):
        tokens = [f" {rng.choice(WORDS)}" for _ in range(33)]
        tokens[3] = HOSTILE if seed == HOSTILE_LATENT else tokens[3]
        values = [0.0] * 33
        values[20] = top * (1 - i / 20)
        values[21], values[8] = values[20] / 3, -values[20] / 8
        found.append(
            Example(
                tokens=tokens, values=values, peak=20, document=rng.randrange(900), position=rng.randrange(2000), source="stories"
            )
        )
    return found


def _explanations(row: dict[str, Any]) -> list[ExplanationText]:
    if row["explanation"] is None:
        return []
    controls = [MetricValue(name="shuffled", value=0.51, definition="The score of another latent's explanation.")]
    score = Score(
        name="detection", value=row["score"], standard_error=0.03, n=60, definition="Balanced accuracy.", controls=controls
    )
    return [ExplanationText(explainer="offline", text=row["explanation"], scores=[score])]


def _bins(index: int) -> Histogram | None:
    return None if index == DEAD else Histogram(edges=[0, 1, 2, 3, 4, 5, 6], counts=[900, 300, 90, 20, 5, 1])


def _logits(index: int) -> Logits:
    rng = random.Random(index)
    top = [LogitToken(token=f" {rng.choice(WORDS)}", value=2 - i / 6) for i in range(10)]
    return Logits(top=top, bottom=[LogitToken(token=item.token, value=-item.value / 2) for item in top])


def _firings(i: int, word: str) -> list[Firing]:
    if i == 0:
        return []
    rng = random.Random(word)
    return [Firing(latent=rng.randrange(N_LATENTS), value=9.0 / (k + 1)) for k in range(6)]


def _fired(tokens: list[PromptToken]) -> list[PromptLatent]:
    found: dict[int, list[tuple[float, int]]] = {}
    for at, token in enumerate(tokens):
        for firing in token.firings:
            found.setdefault(firing.latent, []).append((firing.value, at))
    return [
        PromptLatent(
            index=index,
            max=max(seen)[0],
            peak=max(seen)[1],
            n_tokens=len(seen),
            density=_row(index)["density"],
            share_of_max=0.5,
            explanation=_row(index)["explanation"],
        )
        for index, seen in found.items()
    ]


def _histogram(counts: list[int]) -> dict[str, Any]:
    values = [{"from": i, "to": i + 1, "count": count} for i, count in enumerate(counts)]
    encoding = {
        "x": {"field": "from", "type": "quantitative", "bin": "binned", "title": "activation"},
        "x2": {"field": "to"},
        "y": {"field": "count", "type": "quantitative"},
    }
    return {"data": {"values": values}, "mark": {"type": "bar", "tooltip": True}, "encoding": encoding}


def _sae(name: str, i: int) -> SaeSummary:
    return SaeSummary(
        name=name,
        architecture=name,
        n_latents=N_LATENTS,
        site="resid_post.3",
        has_atlas=True,
        config={"k": 32},
        domains={},
        metrics=[
            _metric("ce_recovered", 0.968 - i / 50, "higher"),
            _metric("explained_variance", 0.88 - i / 90, "higher"),
            _metric("fvu", 0.12 + i / 90, "lower"),
            _metric("l0", 32.0, "neither"),
            _metric("dead_fraction", 0.013 * (i + 1), "lower"),
            _metric("kl_original_spliced", 0.0351, "lower"),
            _metric("ev_as_saebench", 1.026, "higher"),
            MetricValue(
                name="cosine_of_dead", value=None, why_missing="no dead latents in 4,096 rows", definition="Not a real one."
            ),
        ],
    )


def _metric(name: str, value: float, better: Any) -> MetricValue:
    return MetricValue(
        name=name,
        value=value,
        standard_error=abs(value) / 200,
        better=better,
        n=65_536,
        unit="fraction",
        definition=f"The definition of {name}.",
    )
