"""What a request asks of the model: prompts as tokens, edits and sampling for each arm. Imports torch."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from monoseme.core.errors import ConfigError, PluginError
from monoseme.models import Edit, LanguageModel, Sampling
from monoseme.pipeline import (
    ChatForm,
    KnownSaes,
    LatentWord,
    PlacedLatent,
    SteeringConfig,
    Writer,
    answer_asked,
    steer_words,
)
from monoseme.text.document import Turn
from monoseme.web.run_files import BadRequestError
from monoseme.web.steer._replay import steer_word, word
from monoseme.web.steer.answers import ArmName
from monoseme.web.steer.asked import LIMITS, ChatAsked, SteerAsked


class ArmAsked(NamedTuple):
    """One arm of a request."""

    name: ArmName
    prompts: list[list[int]]
    sampling: Sampling
    edits: list[Edit]


class Texts(NamedTuple):
    """All that is to be written."""

    arms: list[ArmAsked]
    watched: tuple[PlacedLatent, ...]


def steering_config(asked: SteerAsked) -> SteeringConfig:
    """How to steer. Raises BadRequestError for a method, a setting or a unit that there is not."""
    conditions = asked.conditions
    try:
        steering = SteeringConfig(
            method=asked.method,
            method_config=asked.options,
            only=conditions.only,
            from_position=conditions.from_position,
            while_fires=() if conditions.while_fires is None else (word(conditions.while_fires),),
        )
        steering.made()
    except (ConfigError, PluginError) as error:
        raise BadRequestError(str(error)) from error
    return steering


def asked_texts(asked: SteerAsked, known: KnownSaes, writer: Writer, *, seed: int) -> Texts:
    """What is to be written. Raises ConfigError, SiteError and ModelError for what does not fit the SAEs and the model."""
    sampling = Sampling(
        max_new_tokens=asked.sampling.max_new_tokens,
        temperature=asked.sampling.temperature,
        top_p=asked.sampling.top_p,
        seed=seed,
    )
    watched = tuple(placed for each in asked.watch for placed in known.latents(LatentWord(each.sae, each.latent)))
    arms = [_arm(name, asked, known, writer, sampling) for name in asked.arms]
    for arm in arms:
        for ids in arm.prompts:
            _require_short(ids, writer.model)
    return Texts(arms, watched)


def _arm(name: ArmName, asked: SteerAsked, known: KnownSaes, writer: Writer, sampling: Sampling) -> ArmAsked:
    edits: list[Edit] = []
    prompted: Callable[[str], str] = str
    if name == "steered":
        steering = steering_config(asked)
        edits = known.edits(steer_words([steer_word(latent) for latent in asked.latents]), steering)
        prompted = steering.made().prompted
    if asked.chat is None:
        return ArmAsked(name, [writer.prompt_ids(prompted(prompt)) for prompt in asked.prompts], sampling, edits)
    turns = _turns(asked.chat, name, system=prompted(asked.chat.system).strip())
    answer = answer_asked(writer, ChatForm(writer.model.tokenizer), sampling, turns)
    return ArmAsked(name, [answer.ids], answer.sampling, edits)


def _turns(chat: ChatAsked, arm: ArmName, *, system: str) -> Sequence[Turn]:
    said = chat.turns if arm == "default" or chat.steered_turns is None else chat.steered_turns
    turns = [Turn(turn.role, turn.content) for turn in said]
    return [Turn("system", system), *turns] if system else turns


def _require_short(ids: list[int], model: LanguageModel) -> None:
    longest = min(LIMITS.max_prompt_tokens, model.spec.n_positions or LIMITS.max_prompt_tokens)
    if len(ids) > longest:
        raise BadRequestError(f"a text of {len(ids):,} tokens is too long to go on with\n  Give one of {longest:,} at most.")
