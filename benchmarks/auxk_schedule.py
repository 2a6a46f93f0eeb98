"""Whether AuxK on the worst tokens revives as well as on all: dead latents and FVU over training, on the bundled model.

    python benchmarks/auxk_schedule.py --setting high --out docs/results

Trains side by side, on one pass of the model, TopK SAEs of two seeds that are alike but for the auxiliary loss: off, on every
token, on the worst reconstructed quarter of each batch (the default) and on the worst half. `--setting` says how hard training
kills latents. Prints a table, keeps its numbers in auxk_schedule.json, and writes the page anew from the settings measured so
far, with a figure of the first. Each setting takes five to fifteen minutes of one core.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import altair as alt

from monoseme.pipeline import Materials
from monoseme.presets import demo
from monoseme.reports.figures import Figure
from monoseme.saes import build
from monoseme.saes.topk import TopK
from monoseme.training import Job, TrainConfig, read_metrics, train

ARMS: dict[str, dict[str, Any]] = {
    "off": {"auxk_coefficient": 0.0},
    "every token": {"auxk_one_in": 1},
    "the worst half": {"auxk_one_in": 2},
    "the worst quarter": {},
}
SEEDS = (0, 1)


class Setting(NamedTuple):
    """What is trained, and how."""

    title: str
    n_latents: int
    k: int
    batch: int
    steps: int
    lr: float
    """At its peak."""
    dead_after_tokens: int


SETTINGS = {
    "high": Setting("A learning rate far too high", 4096, 8, 2048, 400, 5e-3, 40_000),
    "harsh": Setting("Harsher, in small batches", 4096, 8, 512, 1000, 1e-2, 20_000),
    "mild": Setting("Milder, with more latents", 8192, 16, 2048, 400, 3e-3, 40_000),
}


class Outcome(NamedTuple):
    """How one SAE fared."""

    arm: str
    seed: int
    dead_at_end: float
    """Share of the latents."""
    dead_in_second_half: float
    """Mean share of the latents."""
    revivals: int
    fvu: float
    """On held-out text."""


_PAGE = """# AuxK on the worst tokens

The auxiliary loss that revives dead latents costs about as much as the rest of a step when it is taken on every token. By
default it is taken on one token in four, those of each batch that are reconstructed worst (`auxk_one_in`). Here is what that does
to revival, on one pass of the bundled model (resid_post.3), with TopK. Two seeds, which share the stream.

- *dead*: share of the latents that are dead, at the end and as the mean over the second half of the run.
- *revivals*: dead latents that fired again, over the whole run.
- *FVU*: on held-out documents, after the last step.

{sections}

![Dead latents and FVU over training](figures/auxk_schedule.png)

The figure shows the setting `high`.
"""
_SECTION = """## {title}

`python benchmarks/auxk_schedule.py --setting {name} --out docs/results`

{n_latents:,} latents, k {k}, batches of {batch:,} tokens, {steps:,} steps at a peak learning rate of {lr:g}; a latent is dead
when it has not fired for {dead_after_tokens:,} tokens.

{table}

{reading}"""


def main() -> None:
    """Trains all of a setting, and writes the page."""
    parser = argparse.ArgumentParser(description="Whether AuxK on a part of the tokens revives as well.")
    parser.add_argument("--setting", choices=SETTINGS, default="high")
    parser.add_argument("--out", type=Path, default=None, help="folder for auxk_schedule.md and its figure; none: print only")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = train_all(Path(folder), SETTINGS[args.setting])
    outcomes = [outcome(rows, arm, seed) for arm in ARMS for seed in SEEDS]
    print(as_table(outcomes))
    if args.out is not None:
        (args.out / "figures").mkdir(parents=True, exist_ok=True)
        if args.setting == "high":
            figure(rows).save(args.out / "figures" / "auxk_schedule.png")
        measured = keep(args.out / "auxk_schedule.json", args.setting, outcomes)
        (args.out / "auxk_schedule.md").write_text(page(measured))


def train_all(folder: Path, setting: Setting) -> list[dict[str, Any]]:
    """One run of all arms and seeds: the rows of its metrics."""
    materials = Materials(demo.config())
    site = materials.sites[0]
    config = TrainConfig(
        n_steps=setting.steps,
        batch_size=setting.batch,
        lr=setting.lr,
        log_every=10,
        checkpoint_at=(),
        validate_every=max(1, setting.steps // 8),
        validation_tokens=8192,
    )
    sizes = {"d_in": materials.training.widths[site], "n_latents": setting.n_latents, "k": setting.k}
    jobs = [
        Job(_name(arm, seed), build(TopK.Config(**sizes, seed=seed, dead_after_tokens=setting.dead_after_tokens, **own)), (site,))
        for arm, own in ARMS.items()
        for seed in SEEDS
    ]
    train(materials.training, jobs, config, folder=folder, held_out=materials.held_out)
    return read_metrics(folder / "metrics.jsonl")


def _name(arm: str, seed: int) -> str:
    return f"{arm.replace(' ', '-')}-{seed}"


def outcome(rows: list[dict[str, Any]], arm: str, seed: int) -> Outcome:
    """What the metrics say of one SAE."""
    own = [row for row in rows if row["sae"] == _name(arm, seed)]
    steps = [row for row in own if "event" not in row]
    dead = [row["dead_fraction"] for row in steps]
    late = dead[len(dead) // 2 :]
    revivals = sum(row["revivals"] for row in own if row.get("event") == "latents")
    fvu = [row["fvu"] for row in own if row.get("event") == "validation"][-1]
    return Outcome(arm, seed, dead[-1], sum(late) / len(late), revivals, fvu)


def keep(path: Path, name: str, outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    """Puts the outcomes of a setting in their file; gives back all that is there, in the order of the settings."""
    stored = json.loads(path.read_text()) if path.is_file() else {}
    stored[name] = [one._asdict() for one in outcomes]
    path.write_text(json.dumps(stored, indent=1) + "\n")
    return {each: [Outcome(**one) for one in stored[each]] for each in SETTINGS if each in stored}


def page(measured: Mapping[str, list[Outcome]]) -> str:
    """The page, of the settings measured so far."""
    sections = [
        _SECTION.format(name=name, table=as_table(outcomes), reading=reading(outcomes), **SETTINGS[name]._asdict())
        for name, outcomes in measured.items()
    ]
    return _PAGE.format(sections="\n\n".join(sections))


def reading(outcomes: list[Outcome]) -> str:
    """What the parts gain of what AuxK on every token gains over none; means of the seeds at the end."""
    dead, fvu = _Gains.of(outcomes, "dead_at_end"), _Gains.of(outcomes, "fvu")
    lines = [
        f"AuxK on every token takes dead latents from {dead.off:.1%} to {dead.every:.1%} and FVU from {fvu.off:.4f} to"
        f" {fvu.every:.4f} (means of the seeds, at the end).",
        "Of what it gains in dead latents, " + dead.shares() + ".",
    ]
    if fvu.off - fvu.every > fvu.apart:
        lines.append(f"Of what it gains in FVU, {fvu.shares()}; seeds lie up to {fvu.apart:.4f} apart.")
    else:
        lines.append(f"What it gains in FVU is less than the {fvu.apart:.4f} that seeds lie apart.")
    return "\n".join(lines)


class _Gains(NamedTuple):
    """A number of every arm: the mean of the seeds."""

    off: float
    every: float
    quarter: float
    half: float
    apart: float
    """The largest distance between seeds of an arm."""

    @classmethod
    def of(cls, outcomes: list[Outcome], name: str) -> "_Gains":
        values = {arm: [getattr(one, name) for one in outcomes if one.arm == arm] for arm in ARMS}
        means = [sum(values[arm]) / len(values[arm]) for arm in ("off", "every token", "the worst quarter", "the worst half")]
        return cls(*means, max(max(each) - min(each) for each in values.values()))

    def shares(self) -> str:
        quarter, half = ((self.off - part) / (self.off - self.every) for part in (self.quarter, self.half))
        return f"the worst quarter gains {quarter:.0%} and the worst half {half:.0%}"


def as_table(outcomes: list[Outcome]) -> str:
    """In Markdown."""
    head = "| auxiliary loss on | seed | dead at the end | dead in the second half | revivals | FVU |\n|---|---|---|---|---|---|"
    lines = [
        f"| {o.arm} | {o.seed} | {o.dead_at_end:.1%} | {o.dead_in_second_half:.1%} | {o.revivals:,} | {o.fvu:.4f} |"
        for o in outcomes
    ]
    return "\n".join([head, *lines])


def figure(rows: list[dict[str, Any]]) -> Figure:
    """Dead latents and held-out FVU over training, a line for each arm and seed."""
    arms = {_name(arm, seed): (arm, seed) for arm in ARMS for seed in SEEDS}
    points = [
        {"arm": arms[row["sae"]][0], "seed": arms[row["sae"]][1], "step": row["step"], "part": part, "value": row[key]}
        for row in rows
        for event, key, part in ((None, "dead_fraction", "dead latents (share)"), ("validation", "fvu", "held-out FVU"))
        if row.get("event") == event
    ]
    lines = (
        alt.Chart(alt.Data(values=points))
        .mark_line()
        .encode(
            x=alt.X("step:Q", title="step"),
            y=alt.Y("value:Q", title=None).scale(zero=False),
            color=alt.Color("arm:N", title="auxiliary loss on", sort=list(ARMS)),
            strokeDash=alt.StrokeDash("seed:N", title="seed"),
        )
        .properties(width=300, height=220)
        .facet(column=alt.Column("part:N", title=None))
        .resolve_scale(y="independent")
    )
    caption = "Each line is one SAE; lines of the arms that revive should lie on one another."
    return Figure(name="auxk_schedule", title="AuxK on the worst tokens", caption=caption, chart=lines, has_own_size=True)


if __name__ == "__main__":
    main()
