"""Whether AuxK on one token in four revives as well as on all: dead latents and FVU over training, on the bundled model.

    python benchmarks/auxk_schedule.py --out docs/results

Trains side by side, on one pass of the model, TopK SAEs of two seeds that are alike but for the auxiliary loss: off, on every
token, on one in two and on one in four (the default). The learning rate is high, so that many latents die. Prints a table and
writes it with a figure. Takes about ten minutes of one core.
"""

import argparse
import os
import tempfile
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
    "one in 2": {"auxk_one_in": 2},
    "one in 4": {"auxk_one_in": 4},
}
SEEDS = (0, 1)
_PAGE = """# AuxK on a part of the tokens

The auxiliary loss that revives dead latents costs about as much as the rest of a step when it is taken on every token. By
default it is taken on one token in four, on others at each step (`auxk_one_in`). Measured by `python
benchmarks/auxk_schedule.py` on one pass of the bundled model (resid_post.3): TopK with {n_latents:,} latents, k {k}, batches of
{batch:,} tokens, {steps:,} steps at a peak learning rate of {lr:g}, far too high, so that many latents die; a latent is dead
when it has not fired for {dead_after_tokens:,} tokens. Two seeds, which share the stream.

- *dead*: share of the latents that are dead, at the end and as the mean over the second half of the run.
- *revivals*: dead latents that fired again, over the whole run.
- *FVU*: on held-out documents, after the last step.

{table}

![Dead latents and FVU over training](figures/auxk_schedule.png)

## Reading

Of what AuxK on every token gains over none, means of the seeds at the end: one token in four ({rows_of_four:,} rows of a batch)
gains {dead_of_four:.0%} in dead latents and {fvu_of_four:.0%} in FVU, one in two {dead_of_two:.0%} and {fvu_of_two:.0%}. In a
harsher run (batches of 512, so that 128 rows take part; learning rate 0.01; dead after 20,000 tokens; 1,200 steps) AuxK itself
did little: 68 % were dead without it, 65 % with every token and 68 % with one in four. With small batches, or where latents
die faster than they are revived, set `auxk_one_in` to 1.
"""


def main() -> None:
    """Trains all of them and writes the page."""
    parser = argparse.ArgumentParser(description="Whether AuxK on a part of the tokens revives as well.")
    for name, default in (("n-latents", 4096), ("k", 8), ("batch", 2048), ("steps", 400), ("dead-after-tokens", 40_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--out", type=Path, default=None, help="folder for auxk_schedule.md and its figure; none: print only")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = train_all(Path(folder), args)
    outcomes = [outcome(rows, arm, seed) for arm in ARMS for seed in SEEDS]
    table = as_table(outcomes)
    print(table)
    if args.out is not None:
        (args.out / "figures").mkdir(parents=True, exist_ok=True)
        figure(rows).save(args.out / "figures" / "auxk_schedule.png")
        settings = {name: value for name, value in vars(args).items() if name != "out"}
        text = _PAGE.format(table=table, rows_of_four=args.batch // 4, **gains(outcomes), **settings)
        (args.out / "auxk_schedule.md").write_text(text)


def train_all(folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One run of all arms and seeds: the rows of its metrics."""
    materials = Materials(demo.config())
    site = materials.sites[0]
    config = TrainConfig(
        n_steps=args.steps,
        batch_size=args.batch,
        lr=args.lr,
        log_every=10,
        checkpoint_at=(),
        validate_every=max(1, args.steps // 8),
        validation_tokens=8192,
    )
    sizes = {"d_in": materials.training.widths[site], "n_latents": args.n_latents, "k": args.k}
    jobs = [
        Job(_name(arm, seed), build(TopK.Config(**sizes, seed=seed, dead_after_tokens=args.dead_after_tokens, **own)), (site,))
        for arm, own in ARMS.items()
        for seed in SEEDS
    ]
    train(materials.training, jobs, config, folder=folder, held_out=materials.held_out)
    return read_metrics(folder / "metrics.jsonl")


def _name(arm: str, seed: int) -> str:
    return f"{arm.replace(' ', '-')}-{seed}"


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


def outcome(rows: list[dict[str, Any]], arm: str, seed: int) -> Outcome:
    """What the metrics say of one SAE."""
    own = [row for row in rows if row["sae"] == _name(arm, seed)]
    steps = [row for row in own if "event" not in row]
    dead = [row["dead_fraction"] for row in steps]
    late = dead[len(dead) // 2 :]
    revivals = sum(row["revivals"] for row in own if row.get("event") == "latents")
    fvu = [row["fvu"] for row in own if row.get("event") == "validation"][-1]
    return Outcome(arm, seed, dead[-1], sum(late) / len(late), revivals, fvu)


def gains(outcomes: list[Outcome]) -> dict[str, float]:
    """For the page: shares of what AuxK on every token gains over none."""

    def mean(arm: str, name: str) -> float:
        values = [getattr(one, name) for one in outcomes if one.arm == arm]
        return sum(values) / len(values)

    return {
        f"{short}_of_{n}": (mean("off", name) - mean(arm, name)) / (mean("off", name) - mean("every token", name))
        for short, name in (("dead", "dead_at_end"), ("fvu", "fvu"))
        for n, arm in (("two", "one in 2"), ("four", "one in 4"))
    }


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
    return Figure(name="auxk_schedule", title="AuxK on a part of the tokens", caption=caption, chart=lines, has_own_size=True)


if __name__ == "__main__":
    main()
