"""How long a training run takes, from what its probe measured: each part by how often it comes."""

from typing import NamedTuple

from monoseme.planning.config import PlanConfig
from monoseme.planning.figure import Figure, missing, total
from monoseme.planning.speed import TrainingSpeed
from monoseme.planning.text_facts import TextFacts
from monoseme.text.store import GROUP_TOKENS
from monoseme.training.config import TrainConfig


class Counts(NamedTuple):
    """How often each thing comes in a run."""

    steps: int
    logs: int
    validations: int
    checkpoints: int
    """At most: each validation may be the best so far."""

    @classmethod
    def of(cls, train: TrainConfig, *, validated: bool) -> "Counts":
        """Of a run that is not stopped early."""
        steps = range(1, train.steps + 1)
        validations = (
            [step for step in steps if validated and train.validation_due(step)] if train.steps <= _MOST_COUNTED else None
        )
        if validations is None:  # so many that an edge more or less is nothing
            n = train.steps // train.validate_every if validated else 0
            saved = n + len(train.checkpoint_at) + train.steps // (train.checkpoint_every or train.steps)
            return cls(train.steps, train.steps // train.log_every, n, saved)
        saved = {step for step in steps if train.checkpoint_due(step)} | set(validations)
        return cls(train.steps, sum(train.log_due(step) for step in steps), len(validations), len(saved))


_MOST_COUNTED = 200_000


class Shares(NamedTuple):
    """How many processes divide what."""

    rows: int = 1
    """Parts of each batch."""
    latents: int = 1
    """Parts of the latents."""

    @property
    def n(self) -> int:
        """All processes."""
        return self.rows * self.latents


def training_time(
    speed: TrainingSpeed, counts: Counts, *, text: TextFacts | None, ending_bytes: int, shares: Shares,
    traffic: float,
) -> list[Figure]:  # fmt: skip
    """The parts, and their sum last. `ending_bytes` are those of the finished SAEs; `traffic` seconds of a step's exchanges."""
    steps = counts.steps  # the latents of one process alone were measured
    parts = [
        _part("loading", speed.loading, "imports, model, first text"),
        _part("starting", speed.starting, "what SAEs start from"),
        _part("model and stream", steps * _stream_step(speed, shares), f"{steps:,} steps"),
        _part("SAEs", steps * speed.step_saes / shares.rows, f"{steps:,} steps"),
        _part("logs", counts.logs * speed.log, f"{counts.logs:,} rows for each SAE"),
        _often("validations", counts.validations, speed.validation),
        _often("checkpoints", counts.checkpoints, speed.checkpoint),
        _part("text", _text_seconds(text), "tokenising beyond the first million"),
        _ending(speed, ending_bytes),
    ]
    if shares.n > 1:
        parts = [_assumed(part) for part in parts]
        parts.append(
            Figure(
                name="exchanges", value=steps * traffic, unit="seconds", found="estimated", note="gradients and rows, by the link"
            )
        )
    return [*parts, total("time", parts)]


def _stream_step(speed: TrainingSpeed, shares: Shares) -> float:
    """All processes divide the model's forwards; those that share rows divide the batch."""
    return speed.step_model / shares.n + (speed.step_stream - speed.step_model) / shares.rows


def _part(name: str, seconds: float, note: str) -> Figure:
    return Figure(name=name, value=seconds, unit="seconds", found="measured", note=note)


def _often(name: str, n: int, each: float | None) -> Figure:
    if n == 0:
        return Figure(name=name, value=0.0, unit="seconds", found="exact", note="none")
    if each is None:
        return missing(name, "seconds", "the probe was over before there was one; give it longer with --plan.probe_seconds")
    return _part(name, n * each, f"{n:,} times {each:.2g} s" + (", at most" if name == "checkpoints" else ""))


def _text_seconds(text: TextFacts | None) -> float:
    """The first group is part of loading; the rest is tokenised beside the steps or after them, on processors that are in use."""
    if text is None:
        return 0.0
    return text.seconds * max(0.0, 1 - GROUP_TOKENS / max(1, text.n_tokens))


def _ending(speed: TrainingSpeed, ending_bytes: int) -> Figure:
    if speed.checkpoint is None:
        return missing("saving SAEs", "seconds", "no checkpoint was timed; give the probe longer with --plan.probe_seconds")
    seconds = 2 * speed.checkpoint * ending_bytes / max(1, speed.checkpoint_bytes)
    return Figure(
        name="saving SAEs", value=seconds, unit="seconds", found="measured", note="at the pace of a checkpoint, and copied"
    )


def _assumed(part: Figure) -> Figure:
    if part.value is None:
        return part
    return Figure(
        name=part.name, value=part.value, unit=part.unit, found="estimated", note=f"{part.note}; work divides without loss"
    )


def speed_figures(speed: TrainingSpeed, *, shares: Shares, traffic: float, flop: dict[str, float | None]) -> list[Figure]:
    """Tokens per second of the steps, of their two sides apart, and the floating-point rate of each."""
    batch, found = speed.batch_size, "measured" if shares.n == 1 else "estimated"
    step = _stream_step(speed, shares) + speed.step_saes / shares.rows + traffic
    figures = [
        Figure(
            name="tokens per second",
            value=batch / step,
            unit="tokens/s",
            found=found,
            note="without logs, validations, checkpoints",
        ),
        _rate("model side alone", batch, speed.step_stream),
        _rate("SAE side alone", batch, speed.step_saes),
    ]
    for side, seconds in (("model", speed.step_model), ("SAEs", speed.step_saes)):
        work = flop[side]
        if work is None or not seconds:
            figures.append(missing(f"{side}, achieved", "FLOP/s", "its work is not known" if work is None else "it took no time"))
        else:
            figures.append(
                Figure(name=f"{side}, achieved", value=work / seconds, unit="FLOP/s", found="measured", note="work by formula")
            )
    figures.append(
        Figure(name="compiling", value=speed.compiling, unit="seconds", found="measured", note="once; kept for later runs")
    )
    return figures


def _rate(name: str, tokens: int, seconds: float) -> Figure:
    if not seconds:
        return missing(name, "tokens/s", "it took no time")
    return Figure(name=name, value=tokens / seconds, unit="tokens/s", found="measured", note="on one device")


def untimed(why: str, plan: PlanConfig) -> dict[str, list[Figure]]:
    """Speed, time and cost of a run that was not probed."""
    time = missing("time", "seconds", why)
    return {"speed": [missing("tokens per second", "tokens/s", why)], "time": [time], "cost": cost_figures(time, plan)}


def cost_figures(time: Figure, plan: PlanConfig) -> list[Figure]:
    """Price of the devices for the time; none without a price."""
    if plan.price_per_hour is None:
        return [missing("cost", "money", "no price is given (--plan.price_per_hour)")]
    if time.value is None or time.found is None:
        return [missing("cost", "money", f"the time is not known: {time.why_missing}")]
    value = time.value / 3600 * plan.price_per_hour * plan.processes
    note = f"{plan.processes} x {plan.price_per_hour:g} for an hour"
    return [Figure(name="cost", value=value, unit="money", found=time.found, note=note)]
