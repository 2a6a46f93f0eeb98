"""Which components there are, and where their data comes from."""

import math
from collections.abc import Sequence
from pathlib import Path

from monoseme.core.errors import ConfigError
from monoseme.web.embed._embedded import Embedded
from monoseme.web.run_files import RunFiles

_STRIP_LINE_PX, _STRIP_LINE_CHARACTERS, _STRIP_FRAME_PX = 26, 100, 64


def latent_page(run: Path | str, sae: str, index: int, *, height: int = 900) -> Embedded:
    """The page of a latent: explanations and scores, examples, histogram, logits, related latents.

    `sae` is a name of the atlas (such as `topk`, `tfa.novel`, `mlsae@resid_post.3`). Raises NotFoundError, ArtifactMissingError
    before a scan.
    """
    from monoseme.web.latent import LatentReader

    found = _opened(run).page(LatentReader).detail(sae, index).model_dump(mode="json")
    return Embedded(component="latent", title=f"Latent {index} of {sae}", data=found, height=height)


def metric_table(run: Path | str, *, height: int = 720) -> Embedded:
    """Everything measured on the SAEs of a run, side by side, with definitions on the names."""
    from monoseme.web.overview import OverviewReader

    files = _opened(run)
    found = files.page(OverviewReader).overview().model_dump(mode="json", include={"name", "saes"})
    return Embedded(component="metrics", title=f"Metrics of {files.name}", data=found, height=height)


def token_strip(
    tokens: Sequence[str], values: Sequence[float | None], *, top: float | None = None, title: str = "Tokens"
) -> Embedded:
    """A text shaded by one number for each token (None: not read); the darkest shade is `top`, or the largest number given.

    Raises ConfigError where tokens and values do not pair, or a value is not finite.
    """
    if len(tokens) != len(values):
        raise ConfigError(f"{len(tokens)} tokens and {len(values)} values do not pair.\n  Give a value, or None, for each token.")
    known = [abs(value) for value in values if value is not None]
    if not all(math.isfinite(value) for value in known):
        raise ConfigError("a value of a token is not finite.\n  Give None where there is no number.")
    numbers = [None if value is None else float(value) for value in values]
    data = {"title": title, "tokens": list(tokens), "values": numbers, "top": max(known, default=0.0) if top is None else top}
    n_lines = 1 + sum(map(len, tokens)) // _STRIP_LINE_CHARACTERS + sum(token.count("\n") for token in tokens)
    return Embedded(component="tokens", title=title, data=data, height=_STRIP_FRAME_PX + _STRIP_LINE_PX * n_lines)


def _opened(run: Path | str) -> RunFiles:
    from monoseme.web.worker import ModelWorker

    path = Path(run)
    return RunFiles(path, id=path.resolve().name, worker=ModelWorker(None))
