"""What the steer page asks for: prompts or a conversation, latents, method, conditions, sampling."""

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from monoseme.web.steer.answers import ArmName, SteerLimits

LIMITS = SteerLimits(max_prompts=8, max_prompt_tokens=1024, max_new_tokens=512, max_latents=32, max_chars=20_000, max_turns=64)
"""Bounds the memory of a request: 16 texts of 1,536 tokens at most, less where the model reads fewer."""

Text = Annotated[str, Field(max_length=LIMITS.max_chars)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Number = Annotated[int, Field(ge=0, lt=2**31)]


def _one_value(value: object, check: ValidatorFunctionWrapHandler) -> object:
    """One sentence where each of the types would have its own."""
    try:
        return check(value)
    except ValidationError as error:
        raise ValueError(
            f"a setting is true or false, a finite number, or a text of at most {LIMITS.max_chars:,} characters"
        ) from error


Setting = Annotated[bool | Annotated[int, Field(ge=-(2**53), le=2**53)] | float | Text, WrapValidator(_one_value)]
"""Of a method."""


class Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LatentAsked(Asked):
    """A latent by the name of its SAE in the atlas and its number."""

    sae: Name
    latent: Number


class StrengthAsked(LatentAsked):
    """A latent to steer with."""

    strength: Annotated[float, Field(ge=-1e6, le=1e6)]
    unit: Literal["max", "norm", "raw"] = "max"


class TurnAsked(Asked):
    """Something that was said."""

    role: Literal["user", "assistant"]
    content: Text


class ChatAsked(Asked):
    """A conversation whose last turn is the user's."""

    system: Text = ""
    turns: Annotated[list[TurnAsked], Field(min_length=1, max_length=LIMITS.max_turns)]
    steered_turns: Annotated[list[TurnAsked], Field(max_length=LIMITS.max_turns)] | None = None
    """The conversation of the steered arm, where the answers there were others. Null: the same turns."""

    @model_validator(mode="after")
    def _ends_with_the_user(self) -> Self:
        for turns in (self.turns, self.steered_turns):
            if turns is not None and (not turns or turns[-1].role != "user" or not turns[-1].content.strip()):
                raise ValueError("the last turn has to be the user's, and not empty")
        return self


class ConditionsAsked(Asked):
    """Where to steer; all of them have to hold."""

    only: Literal["all", "prompt", "generated"] = "all"
    from_position: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    while_fires: LatentAsked | None = None


class SamplingAsked(Asked):
    """How tokens are chosen."""

    max_new_tokens: Annotated[int, Field(ge=1, le=LIMITS.max_new_tokens)] = 60
    temperature: Annotated[float, Field(ge=0, le=100)] = 0.0
    """0 takes the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = 0
    """Null: the server draws one and says it."""


class SteerAsked(Asked):
    """One request: prompts or a conversation, written in each arm."""

    prompts: Annotated[list[Text], Field(max_length=LIMITS.max_prompts)] = []
    chat: ChatAsked | None = None
    latents: Annotated[list[StrengthAsked], Field(max_length=LIMITS.max_latents)] = []
    method: Name = "additive"
    options: Annotated[dict[Name, Setting], Field(max_length=50)] = {}
    """Settings of the method."""
    conditions: ConditionsAsked = ConditionsAsked()
    sampling: SamplingAsked = SamplingAsked()
    arms: Annotated[list[ArmName], Field(min_length=1, max_length=2)] = ["default", "steered"]
    watch: Annotated[list[LatentAsked], Field(max_length=LIMITS.max_latents)] = []

    @model_validator(mode="after")
    def _is_one_request(self) -> Self:
        if (self.chat is None) == (not self.prompts):
            raise ValueError("give prompts, or a chat, and not both")
        if len(set(self.arms)) < len(self.arms):
            raise ValueError("arms names one twice")
        for name, latents in (("latents", self.latents), ("watch", self.watch)):
            if len({(latent.sae, latent.latent) for latent in latents}) < len(latents):
                raise ValueError(f"{name} names a latent twice")
        return self
