"""delphi's detection and fuzzing on given values: which windows it shows, how it marks them, how it reads an answer.

Source: EleutherAI/delphi at 3c2e139, latents/samplers.py, scorers/classifier/{classifier,fuzz,sample}.py. Its mistakes are kept,
and named where they are.

Letters: n windows of S tokens.
"""

import json
import math
import random
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.judges import TokenChance

SEED = 22
N_QUANTILES, N_TRAIN, N_TEST = 10, 40, 50
N_SHOWN = 5
"""Windows of one question."""
MARKED_FROM = 0.3


class Ranked(NamedTuple):
    """A window by its rank among the activating ones."""

    rank: int
    """0 has the largest activation."""
    quantile: int
    """Tenth of the ranks, 0 the strongest: the reverse of our deciles."""


def of_quantiles(n_windows: int, n_samples: int) -> list[Ranked]:
    """n_samples / 10 windows of each tenth of the ranks.

    Mistake kept: the draws of the windows to explain from and of those to test on begin with the same seed, so that 10 of 50 test
    windows (of latents with many) are among the 40 that explain.
    """
    draw = random.Random(SEED)
    size, each = n_windows // N_QUANTILES, n_samples // N_QUANTILES
    found: list[Ranked] = []
    for quantile in range(N_QUANTILES):
        ranks = range(quantile * size, (quantile + 1) * size)
        chosen = list(ranks) if len(ranks) < each else draw.sample(ranks, each)
        found += [Ranked(rank, quantile) for rank in chosen]
    return found


def n_shared(n_windows: int) -> int:
    """How many of delphi's test windows its explainer has seen."""
    train, test = ({window.rank for window in of_quantiles(n_windows, n)} for n in (N_TRAIN, N_TEST))
    return len(train & test)


def right_marks(values: NDArray[np.float32]) -> list[int]:
    """Tokens that reach 0.3 of the largest activation of the window."""
    return np.nonzero(values >= MARKED_FROM * values.max())[0].tolist()


def wrong_marks(values: NDArray[np.float32], n: int) -> list[int]:
    """Tokens marked in a window without a firing.

    Mistake kept: the generator is seeded anew for each window, so that all windows of one length are marked in the same places,
    one of them always length - length // 4, which a judge can see.
    """
    below = np.nonzero(values <= MARKED_FROM * values.max())[0].tolist()
    n, always = min(n, len(below)), len(values) - len(values) // 4
    draw = random.Random(SEED)
    if always not in below:
        return sorted(set(draw.sample(below, n)))
    return sorted({always, *draw.sample(below, n - 1)}) if n > 1 else [always]


def n_wrong(windows: Sequence[NDArray[np.float32]]) -> int:
    """Tokens marked in windows without a firing: the mean number of active tokens of the test windows, rounded up."""
    return math.ceil(sum(int((values != 0).sum()) for values in windows) / len(windows))


def marked(texts: Sequence[str], marks: Sequence[int]) -> str:
    """The text with runs of marked tokens inside << and >>."""
    wanted, parts = set(marks), list[str]()
    for i, text in enumerate(texts):
        parts.append(("<<" if i in wanted and i - 1 not in wanted else "") + text)
        parts.append(">>" if i in wanted and i + 1 not in wanted else "")
    return "".join(parts)


def said_in(answer: str, *, n_windows: int) -> list[bool] | None:
    """The first list in an answer as yes and no; None where there is none of 5 numbers.

    Mistake kept: a last question of fewer than 5 windows is lost, since 5 answers are asserted.
    """
    found = re.search(r"\[.*?\]", answer)
    try:
        values = json.loads(found[0]) if found else None
    except ValueError:
        return None
    if not isinstance(values, list) or len(values) != N_SHOWN or n_windows != N_SHOWN:
        return None
    return [value == 1 for value in values]


def probabilities_in(tokens: Sequence[TokenChance]) -> list[float] | None:
    """P(1) / (P(0) + P(1)) at each token that says 0 or 1, over its likeliest tokens; None unless there are 5 of them."""
    found = [_probability(token) for token in tokens if "1" in token.text or "0" in token.text]
    return found if len(found) == N_SHOWN else None


def _probability(token: TokenChance) -> float:
    zero = sum(math.exp(chance) for text, chance in token.likeliest.items() if "0" in text)
    one = sum(math.exp(chance) for text, chance in token.likeliest.items() if "0" not in text and "1" in text)
    return one / (zero + one) if zero + one > 0 else 0.0
