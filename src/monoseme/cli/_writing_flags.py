"""The flags that `generate` and `chat` have in common."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from monoseme.cli._ask_flags import PluginFlag, take_name
from monoseme.cli._declared import HandFlag, short_flags
from monoseme.cli._options import CONFIG, expand, parse, settings, take_files
from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError
from monoseme.kernels import default_choice
from monoseme.models import ModelConfig, Sampling
from monoseme.pipeline import OF_RUN, SessionConfig, SteeringConfig
from monoseme.steering import STEERING

_SHORT = {"--model": "--model.model"}
_METHOD = "additive"
_ERROR_TERM = HandFlag("--error-term", "on or off: whether what the SAE does not explain is kept.")
_SWITCH = {"on": True, "off": False}

Words = tyro.conf.UseAppendAction[tuple[str, ...]]
"""A flag that may come several times."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WritingFlags:
    """Which model, how to steer it, what to watch, how to choose tokens."""

    sae: Words = ()
    """Runs, RUN/saes/NAME, RUN@STEP or patterns, with commas between several."""
    model: ModelConfig = dataclasses.field(default_factory=lambda: ModelConfig(model=OF_RUN))
    """The language model; "run": that of the SAEs' run."""
    atlas: Path | None = None
    """Folder of the atlas that knows the latents' maxima. None: the one beside each SAE."""
    steer: Words = ()
    """LATENT=STRENGTH, with commas between several: 123=2max, topk:7=-0.5norm, 9=3raw."""
    only: Literal["all", "prompt", "generated"] = "all"
    """Tokens that are steered."""
    from_position: int | None = None
    """Steer from this position of the text on (0-based). None: from the first."""
    while_fires: Words = ()
    """Steer only on tokens where these latents fire in the model as it is."""
    once_fired: bool = False
    """Also at all tokens after the first on which those of --while_fires fired."""
    watch: Words = ()
    """Latents whose values are told for each token, with commas between several."""
    compare: bool = False
    """Write without steering, too, with the same seed."""
    max_tokens: int = 100
    """New tokens of a text at most (count)."""
    temperature: float = 0.0
    """Logits are divided by it; 0 takes the likeliest token."""
    top_p: float = 1.0
    """Only the fewest likeliest tokens whose probabilities reach this sum are drawn from, in (0, 1]."""
    seed: int = 0
    """Of the draws."""

    @property
    def sampling(self) -> Sampling:
        """How tokens are chosen. Raises ConfigError for settings out of range."""
        return Sampling(max_new_tokens=self.max_tokens, temperature=self.temperature, top_p=self.top_p, seed=self.seed)


F = TypeVar("F", bound=WritingFlags)


def read_flags(kind: type[F], words: Sequence[str], *, verb: str, summary: str) -> tuple[F, SteeringConfig]:
    """The words as a `kind`, and how to steer.

    `--help` prints the options and ends the program. Raises ConfigError, UnknownPluginError.
    """
    said, rest = take_files(words)
    error_term, rest = _take_error_term(rest)
    plugin, rest = take_name(rest, PluginFlag("method", STEERING, _METHOD, {}))
    name = plugin.name
    if name is None:
        raise ConfigError(f"--method needs a name.\n  Allowed: {', '.join(STEERING.names())}")
    if error_term is not None:
        plugin = plugin._replace(settings={"error_term": error_term})
    default = plugin.default
    fields: list[Any] = [
        ("own", Annotated[kind, tyro.conf.arg(name="")], dataclasses.field(default=settings(kind(), said, where="config"))),
    ]
    if dataclasses.fields(default):
        fields.append(("method", type(default), dataclasses.field(default=default)))
    flags: Any = dataclasses.make_dataclass("Flags", fields, frozen=True, kw_only=True)
    by_hand = (plugin.declared, _ERROR_TERM, *short_flags(_SHORT), CONFIG)
    summary = f"{summary}\n\n{_methods()}"
    read = parse(flags, expand(rest, _SHORT), verb=verb, summary=summary, default=flags(), by_hand=by_hand)
    own: F = read.own
    steering = SteeringConfig(
        method=name,
        method_config=to_dict(read.method) if dataclasses.fields(default) else {},
        only=own.only,
        from_position=own.from_position,
        while_fires=_apart(own.while_fires),
        once_fired=own.once_fired,
    )
    return own, steering


def session_config(flags: WritingFlags, steering: SteeringConfig) -> SessionConfig:
    """What is to be opened."""
    return SessionConfig(
        sae=_apart(flags.sae),
        model=flags.model,
        atlas=flags.atlas,
        steer=flags.steer,
        steering=steering,
        watch=flags.watch,
        compare=flags.compare,
    )


def replay_words(words: Sequence[str], flags: WritingFlags) -> list[str]:
    """The words with all that decides which tokens are chosen, also where it was not said."""
    given = {_canonical(word) for word in words}
    chosen = {"--max_tokens": flags.max_tokens, "--temperature": flags.temperature, "--top_p": flags.top_p, "--seed": flags.seed}
    added = [each for flag, value in chosen.items() if flag not in given for each in (flag, str(value))]
    kernels = [] if default_choice() == "auto" else ["--kernel", default_choice()]
    return [*words, *added, *kernels]


def _canonical(word: str) -> str:
    flag = word.partition("=")[0]
    return f"--{flag[2:].replace('-', '_')}" if flag.startswith("--") else flag


def _take_error_term(words: Sequence[str]) -> tuple[bool | None, list[str]]:
    """What `--error-term on|off` says, and the words without it. Raises ConfigError for another value."""
    for i, word in enumerate(words):
        if _canonical(word) != _canonical(_ERROR_TERM.name):
            continue
        _, equals, value = word.partition("=")
        value = value if equals else next(iter(words[i + 1 : i + 2]), "")
        if value not in _SWITCH:
            raise ConfigError(f"--error-term is {value!r}.\n  Allowed: on, off")
        return _SWITCH[value], [*words[:i], *words[i + (1 if equals else 2) :]]
    return None, list(words)


def _apart(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for text in texts for part in text.split(",") if part)


def _methods() -> str:
    names = ", ".join(STEERING.names())
    return f"Methods of steering (--method NAME, their settings as --method.SETTING): {names}."
