"""Say before a run what it needs: disk, memory, time, cost; and refuse what cannot fit.

    monoseme plan capture --model gpt2 --corpus books.jsonl --site resid_post.* --out stores/books
    monoseme plan train --model gpt2 --corpus books.jsonl --sae topk --out runs/a
    monoseme plan train --sae topk --sae.n_latents 65536 --plan.price_per_hour 2.5 --plan.processes 8
    monoseme plan train --sae topk --plan.memory_gb 16 --plan.no_probe
    monoseme plan train --help

The flags are those of the verb. Exit code 0 when it fits, 2 with what would fit otherwise.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from monoseme.cli._options import parse, wants_help, write
from monoseme.cli._verbs import document
from monoseme.core.config import suggest
from monoseme.core.display import JsonDisplay, get_display
from monoseme.core.errors import ConfigError
from monoseme.planning import Plan, PlanConfig

_PREFIX = "--plan."


@dataclass(frozen=True, kw_only=True)
class PlanFlags:
    """What is said of the plan itself."""

    plan: PlanConfig = field(default_factory=PlanConfig)
    """The plan."""


def main(words: list[str]) -> int:
    """Plans one run; 2 when it does not fit."""
    if not words or words[0].startswith("-"):
        if words and not wants_help(words):
            raise ConfigError(f"plan needs a command before its flags.\n  Allowed: {', '.join(_VERBS)}")
        write(document("plan"))
        return 0
    verb, rest = words[0], words[1:]
    if verb not in _VERBS:
        raise ConfigError(f'there is no plan for "{verb}".{suggest(verb, _VERBS)}\n  Allowed: {", ".join(_VERBS)}')
    own, rest = take_plan(rest)
    if wants_help(rest):
        _VERBS[verb](rest, PlanConfig())
    plan = _VERBS[verb](rest, own)
    show(plan)
    if plan.fits:
        return 0
    sys.stderr.write(f"monoseme: {plan.refusal}\n")
    return 2


def take_plan(words: list[str]) -> tuple[PlanConfig, list[str]]:
    """What the `--plan.` words say, and the other words."""
    own: list[str] = []
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith(_PREFIX):
            rest.append(word)
            continue
        own.append(word)
        if "=" not in word and queue and not queue[0].startswith("--"):
            own.append(queue.pop(0))
    found = parse(PlanFlags, own, verb="plan", summary=document("plan"), default=PlanFlags())
    return found.plan, rest


def _train(words: list[str], plan: PlanConfig) -> Plan:
    from monoseme.cli._run_options import known_config, parse_run
    from monoseme.planning import plan_training

    out = Path("runs/run")
    said = parse_run(words, verb="plan train", summary=document("plan"), default=known_config(words, out), out=out)
    return plan_training(said.config, said.out, plan)


def _capture(words: list[str], plan: PlanConfig) -> Plan:
    from monoseme.cli._capture_options import parse_capture
    from monoseme.planning import plan_capture

    said = parse_capture(words, verb="plan capture", summary=document("plan"))
    return plan_capture(said.config, said.out, plan)


_VERBS: dict[str, Callable[[list[str], PlanConfig], Plan]] = {"capture": _capture, "train": _train}


def show(plan: Plan) -> None:
    """A table for people, one object for programs."""
    from monoseme.planning.table import plain_text, rich_table

    display = get_display()
    if isinstance(display, JsonDisplay):
        display.result(plan.to_json())
    elif sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False).print(rich_table(plan))
        for remark in plan.remarks:
            write(remark)
    else:
        for line in plain_text(plan).splitlines():
            display.say(line)
