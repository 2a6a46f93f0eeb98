"""What the steer page shows: what there is to steer with, and the events of a text that is being written.

The events come as server-sent events: `event:` is the name that each class below says, `data:` its fields as JSON.
"""

from typing import Any, ClassVar, Literal

from monoseme.web.values import Model

ArmName = Literal["default", "steered"]


class SteerSae(Model):
    """An SAE, or a part or site of one, whose latents can be steered with and watched."""

    key: str
    """As in `LATENT = key:number`."""
    site: str
    """Where its codes come from."""
    n_latents: int
    why_not: str | None
    """Why it can neither steer nor be watched; null where it can."""
    has_maxima: bool
    """Whether the atlas knows it, so that strengths may be in multiples of a latent's maximum."""


class MethodOption(Model):
    """A setting of a method."""

    name: str
    type: Literal["number", "integer", "text", "switch", "choice"]
    default: Any
    """Null where there is none."""
    choices: list[str]
    """Of a choice; else empty."""
    help: str


class SteerMethod(Model):
    """A way to steer."""

    name: str
    summary: str
    formula: str
    needs_latents: bool
    """False for one that only prompts."""
    units: list[str]
    """Of strengths, the usual one first."""
    options: list[MethodOption]


class SteerLimits(Model):
    """What one request may ask for at most; counts."""

    max_prompts: int
    max_prompt_tokens: int
    """Of each prompt, or of the whole conversation."""
    max_new_tokens: int
    """Of each text."""
    max_latents: int
    """To steer with; as many to watch."""
    max_chars: int
    """Of a prompt or a turn."""
    max_turns: int


class SteerOptions(Model):
    """What the page is made of."""

    saes: list[SteerSae]
    methods: list[SteerMethod]
    units: list[str]
    limits: SteerLimits
    has_chat_template: bool | None
    """Whether the model's tokenizer writes conversations; without one turns stand after `Human:` and `Assistant:`. Null without
    a model."""
    why_no_model: str | None
    """Why nothing can be written; null where it can."""


class Event(Model):
    """Something that is told while texts are written."""

    event: ClassVar[str]


class Queued(Event):
    """The request waits; told again when its place changes."""

    event: ClassVar[str] = "queued"
    ahead: int
    """Requests and other pieces of work that wait before it."""


class PromptTokens(Model):
    """A prompt as the model reads it."""

    arm: ArmName
    row: int
    tokens: list[str]
    """Display text of each."""


class Started(Event):
    """Writing begins."""

    event: ClassVar[str] = "started"
    seed: int
    """As given, or as drawn by the server."""
    arms: list[ArmName]
    watched: list[str]
    """Names of the latents whose values are told."""
    prompts: list[PromptTokens]
    replay: str
    """The command that writes the same tokens."""


class NewToken(Event):
    """A token was chosen."""

    event: ClassVar[str] = "token"
    arm: ArmName
    row: int
    place: int
    """Its index in the text, the prompt's tokens counted too."""
    text: str
    """To append to the text; empty while a character lacks bytes and for special tokens."""
    token: str
    """Display text."""


class Values(Event):
    """The model has read a token: what the watched latents do on it."""

    event: ClassVar[str] = "values"
    arm: ArmName
    row: int
    place: int
    values: dict[str, float | None]
    """By name; those of one SAE come together. Null for a number that is not finite."""


class Ended(Event):
    """A text is whole."""

    event: ClassVar[str] = "ended"
    arm: ArmName
    row: int
    text: str
    """The new text."""
    is_ended: bool
    """Whether the model itself ended it."""
    reason: Literal["end", "length"]
    """An end token or the next speaker's turn; or the most tokens were written."""


class Failed(Event):
    """The last event of a request that cannot be served, or no longer."""

    event: ClassVar[str] = "failed"
    error: str
    hint: str


class Done(Event):
    """The last event of a request that was served."""

    event: ClassVar[str] = "done"
    n_tokens: int
    """Written, over all texts."""
    seconds: float
    """Since writing began."""
