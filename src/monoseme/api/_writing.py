"""Lets models write: generate, steer, chat."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from monoseme.api._generated import Generated
from monoseme.api._places import model_of, words_of
from monoseme.api._settings import Settings, changed, nested, words
from monoseme.core.errors import ConfigError

if TYPE_CHECKING:
    from monoseme.models import Sampling
    from monoseme.pipeline import Answer, Session, SteeringConfig

_SAMPLING = ("temperature", "top_p", "seed", "stop")
_STEERING = ("only", "from_position", "while_fires", "once_fired")
_OTHERS = ("method", "atlas")


def generate(
    prompt: str | Sequence[str],
    *,
    model: str | None = None,
    sae: Any = None,
    steer: str | Sequence[str] = (),
    watch: str | Sequence[str] = (),
    max_tokens: int = 100,
    settings: Settings | None = None,
) -> Generated:
    """Goes on with one text or several; with `steer`, both as the model is and steered, with the same seed.

    `steer` is LATENT=STRENGTH as on the command line ("17=2max", "topk:17=0.5norm"), `watch` names latents whose activation on
    each token is told. `settings`: temperature, top_p, seed, stop; method (`ls("steering")`; additive, if not said) and its own
    settings below it, as method.error_term; only, from_position, while_fires, once_fired, atlas. Raises ConfigError for words
    that name nothing.
    """
    prompts = words(prompt)
    session = _session(model, sae, _steered(steer, settings), words(watch))
    sampling = _sampling(max_tokens, settings)
    written = {
        name: tuple(
            session.writer.write(
                [session.writer.prompt_ids(arm.prompted(text)) for text in prompts],
                sampling,
                edits=arm.edits,
                watched=session.watched,
            )
        )
        for name, arm in session.arms.items()
    }
    return Generated(prompts=prompts, arms=written, steered_with=words(steer))


def steer(
    prompt: str | Sequence[str],
    latents: str | Sequence[str],
    *,
    sae: Any,
    method: str | None = None,
    watch: str | Sequence[str] = (),
    max_tokens: int = 100,
    settings: Settings | None = None,
) -> Generated:
    """The text before and after steering with latents of an SAE: `generate` with something to steer with, and how (`method`)."""
    if not words(latents):
        raise ConfigError('steer needs latents.\n  Give, for example, "17=2max"')
    asked = settings if method is None else _by(method, settings)
    return generate(prompt, sae=sae, steer=latents, watch=watch, max_tokens=max_tokens, settings=asked)


class Chat:
    """A conversation with a model, steered and default each with a history of its own. `say` gives the answers."""

    def __init__(self, session: "Session", sampling: "Sampling", *, system: str | None = None) -> None:
        """`sampling.max_new_tokens` is for each answer."""
        from monoseme.pipeline import ChatForm, Conversation

        self.conversation = Conversation(session, ChatForm(session.writer.model.tokenizer), sampling, system=system)

    def say(self, text: str) -> "dict[str, Answer]":
        """The answers to the user's next turn, by way of writing: `default`, `steered`."""
        return self.conversation.say(text)

    def __repr__(self) -> str:
        lines = [f"{turn.role}: {turn.content}" for turns in self.conversation.histories.values() for turn in turns]
        return "\n".join(lines) or "Chat()"


def chat(
    *,
    model: str | None = None,
    sae: Any = None,
    steer: str | Sequence[str] = (),
    watch: str | Sequence[str] = (),
    system: str | None = None,
    max_tokens: int = 100,
    settings: Settings | None = None,
) -> Chat:
    """A conversation: `chat(model="bundled").say("Hello")`. Arguments are those of `generate`."""
    session = _session(model, sae, _steered(steer, settings), words(watch))
    return Chat(session, _sampling(max_tokens, settings), system=system)


class _Steered(NamedTuple):
    """What is steered with, and how."""

    latents: tuple[str, ...]
    config: "SteeringConfig"
    atlas: Path | None
    """That knows the latents' maxima; None: the one beside each SAE."""


def _session(model: str | None, sae: Any, steered: _Steered, watch: tuple[str, ...]) -> "Session":
    from monoseme.models import ModelConfig
    from monoseme.pipeline import OF_RUN, SessionConfig, open_session

    config = SessionConfig(
        sae=words_of(sae),
        model=ModelConfig(model=model_of(sae, model) or OF_RUN),
        atlas=steered.atlas,
        steer=steered.latents,
        steering=steered.config,
        watch=watch,
        compare=bool(steered.latents),
    )
    return open_session(config)


def _steered(latents: str | Sequence[str], settings: Settings | None) -> _Steered:
    """Raises ConfigError for a setting that there is not."""
    from monoseme.pipeline import SteeringConfig

    said = nested(settings)
    _refuse_unknown(said)
    found = {name: said[name] for name in _STEERING if name in said}
    if "while_fires" in found:
        found["while_fires"] = words(found["while_fires"])
    table = _method_table(said)
    name = table.pop("name", None)
    found |= {"method_config": table} | ({} if name is None else {"method": name})
    atlas = said.get("atlas")
    return _Steered(words(latents), changed(SteeringConfig(), found), None if atlas is None else Path(str(atlas)))


def _method_table(said: Mapping[str, Any]) -> dict[str, Any]:
    """The method's settings, and its name as one of them."""
    method = said.get("method", {})
    return dict(method) if isinstance(method, Mapping) else {"name": method}


def _by(method: str, settings: Settings | None) -> dict[str, Any]:
    """Settings with the name of the method. Raises ConfigError where they name one too."""
    said = nested(settings)
    table = _method_table(said)
    if "name" in table:
        raise ConfigError(f"the method is said twice: {method}, and {table['name']} in settings.\n  Leave one of the two out")
    return {**said, "method": {**table, "name": method}}


def _sampling(max_tokens: int, settings: Settings | None) -> "Sampling":
    from monoseme.models import Sampling

    said = nested(settings)
    return changed(Sampling(max_new_tokens=max_tokens), {name: said[name] for name in _SAMPLING if name in said})


def _refuse_unknown(said: Mapping[str, Any]) -> None:
    allowed = (*_SAMPLING, *_STEERING, *_OTHERS)
    unknown = [name for name in said if name not in allowed]
    if unknown:
        raise ConfigError(f"writing has no setting {', '.join(unknown)}.\n  Allowed: {', '.join(allowed)}")
