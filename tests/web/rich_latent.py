"""A made-up run whose latents have all that a latent can have: layers, roles, relations, effects, judgements, trials."""

from types import SimpleNamespace
from typing import Any

from monoseme.web.latent.answers import (
    Effects,
    ExplanationText,
    JudgedExcerpt,
    Judgements,
    LatentDetail,
    Layer,
    RelatedGroup,
    RelatedLatent,
    RoleDensity,
    Score,
    Trial,
)
from monoseme.web.run_files import UnavailableError
from monoseme.web.values import LogitToken, MetricValue

from .fake_run import HOSTILE, FakeRun

TURNS_AROUND = "left\u202eright\u2066\u200f"
"""Marks that would turn the text behind them around."""
ODD_TOKENS = [" a\nb", "\x00", "\u202e", "\u2066evil", "", " \t", "\U0001f469\u200d\U0001f680"]


class RichRun(FakeRun):
    """`demo`, with more to say of each latent."""

    def page(self, reader: type) -> Any:
        if reader.__name__ != "LatentReader":
            return super().page(reader)

        async def trial(sae: str, index: int, text: str) -> Trial:
            if text == "gone":
                raise UnavailableError("the model of this run is not at models/gone\n  Put it back.")
            words = [" <s>", *(f" {word}" for word in text.split())]
            values = [None, *(9.0 if word == "dog" else 0.0 for word in text.split())]
            peak = values.index(9.0) if 9.0 in values else None
            return Trial(sae=sae, index=index, tokens=words, values=values, peak=peak, truncated="", seconds=0.01)

        return SimpleNamespace(detail=self.latent, card=self.card, judgements=self.judgements, trial=trial)

    def latent(self, sae: str, index: int) -> LatentDetail:
        plain = super().latent(sae, index)
        if not plain.groups:
            return plain
        strongest = plain.groups[0]
        odd = strongest.examples[0].model_copy(
            update={"tokens": [*ODD_TOKENS, *strongest.examples[0].tokens[len(ODD_TOKENS) :]], "document": 999}
        )
        copy = strongest.examples[1].model_copy(update={"document": 1000})
        examples = [odd, *strongest.examples[1:], copy]
        groups = [strongest.model_copy(update={"examples": examples}), *plain.groups[1:]]
        explanations = [
            ExplanationText(explainer="llm_top", text=f"speaks of dogs {TURNS_AROUND}", scores=_scores()),
            *plain.explanations,
        ]
        related = [RelatedLatent(index=index + 1 + i, value=0.5 - i / 10, n_together=7, explanation=HOSTILE) for i in range(3)]
        return plain.model_copy(
            update={
                "groups": groups,
                "explanations": explanations,
                "fires_on": (" dog", HOSTILE, *ODD_TOKENS),
                "std": 1.5,
                "layers": tuple(
                    Layer(
                        key=sae if i == 1 else "batchtopk", name=f"resid_post.{i}", density=0.01 * (i + 1), max=i + 1.0, mean=0.5
                    )
                    for i in range(3)
                ),
                "roles": (RoleDensity(role="user", density=0.02), RoleDensity(role="assistant", density=0.01)),
                "related": (RelatedGroup(name="Fire together", definition="Jaccard index.", latents=related),),
                "effects": Effects(
                    n=50,
                    loss_change=0.02,
                    standard_error=0.004,
                    why_missing=None,
                    risen=[LogitToken(token=" cat", value=0.1)],
                    fallen=[LogitToken(token=" dog", value=-0.2)],
                ),
            }
        )

    def judgements(self, sae: str, index: int, part: str) -> Judgements:
        own, other = {"told": "own", "told_of": index}, {"told": "other", "told_of": 3}
        judged = [
            _judged(**own, kind="decile", decile=8, truth=1.0, says=True, is_right=True, marked=[1]),
            _judged(**own, kind="silent", truth=0.0, says=True, is_right=False, values=[0.0, 0.0, None]),
            _judged(**own, kind="decile", decile=0, says=None, answer=None, failure="cut off at max_tokens"),
            _judged(**other, kind="near_miss", truth=0.0, says=False, is_right=True, said=[0.0, 5.0, None]),
        ]
        return Judgements(part=part, scorer="llm_detection", explainer="llm_top", total=900, judgements=judged)


def _scores() -> list[Score]:
    control = MetricValue(name="auroc_other", value=0.5, definition="control: another latent's explanation")
    first = Score(
        name="auroc", scorer="llm_detection", value=0.81, low=0.7, high=0.9, n=40, definition="How well.", controls=(control,)
    )
    return [
        first.model_copy(update={"part": "judged", "has_judgements": True}),
        Score(name="hit_rate", scorer="llm_detection", value=0.75, part="judged", definition="Share of firings."),
    ]


def _judged(**given: Any) -> JudgedExcerpt:
    usual: dict[str, Any] = {
        "question": 0,
        "decile": None,
        "truth": 1.0,
        "answer": 7.0,
        "is_right": None,
        "failure": None,
        "tokens": [" the", " dog", HOSTILE],
        "values": [0.0, 3.0, None],
        "said": [],
        "marked": [],
        "peak": 1,
        "document": 5,
        "position": 17,
    }
    return JudgedExcerpt(**usual | given)
