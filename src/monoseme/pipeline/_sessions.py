"""Opens what `generate` and `chat` work with: the language model, the SAEs, what steers, and what is watched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.models import Edit, LanguageModel, ModelConfig, device_of
from monoseme.pipeline._config import RunConfig
from monoseme.pipeline._found import OF_RUN, FoundSae, find_saes, settings_for
from monoseme.pipeline._known_saes import KnownSaes, SteeringConfig
from monoseme.pipeline._latent_words import steer_words, watch_words
from monoseme.pipeline._writer import PlacedLatent, Writer

DEFAULT, STEERED = "default", "steered"
"""The arms of a comparison."""


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """A model, SAEs, what to steer with and what to watch."""

    sae: tuple[str, ...] = ()
    """Runs, RUN/saes/NAME, RUN@STEP or patterns."""
    model: ModelConfig = field(default_factory=lambda: ModelConfig(model=OF_RUN))
    """The language model, or that of the SAEs' run."""
    atlas: Path | None = None
    """Where latents' largest activations are found. None: in the atlas beside each SAE."""
    steer: tuple[str, ...] = ()
    """LATENT=STRENGTH, with commas between several: 123=2max, topk:7=-0.5norm, 9=3raw."""
    steering: SteeringConfig = field(default_factory=SteeringConfig)
    """How to steer with them."""
    watch: tuple[str, ...] = ()
    """Latents whose values are told for each token."""
    compare: bool = False
    """Write without steering, too, with the same seed."""


class Arm(NamedTuple):
    """One way of writing."""

    edits: list[Edit]
    prompted: Callable[[str], str]
    """What becomes of the user's text."""


class Session(NamedTuple):
    """All that is needed to write."""

    writer: Writer
    saes: KnownSaes
    arms: dict[str, Arm]
    """`default` without steering, `steered` with it: what was asked for, in this order."""
    watched: tuple[PlacedLatent, ...]


def open_session(config: SessionConfig, *, model: LanguageModel | None = None) -> Session:
    """Loads and checks everything. `model` is taken instead of loading the one in the config, when it is in memory already.

    Raises ConfigError for words that name nothing, `compare` without steering, or no model; and what loading raises.
    """
    # Words are read before anything slow is done.
    steer, watch = steer_words(config.steer, unit=config.steering.unit), watch_words(config.watch)
    is_steered = bool(steer) or not config.steering.needs_latents
    if config.compare and not is_steered:
        raise ConfigError("compare goes with steer: without steering there is nothing to set beside the default")
    if config.steering != SteeringConfig() and not is_steered:
        raise ConfigError("there are settings of steering, but nothing to steer with.\n  Add, for example:  --steer 123=2max")
    found = find_saes(config.sae) if config.sae else []
    settings = _settings(config, found)
    asked = config.model if settings is None else settings.model
    for sae in found:
        sae.named.sae.to(device_of(asked.device))
    if model is None:
        get_display().say(f"loading {asked.model}")
        model = LanguageModel.load(asked)
    saes = KnownSaes(found, model, atlas=config.atlas)
    watched = tuple(latent for word in watch for latent in saes.latents(word))
    arms: dict[str, Arm] = {}
    if config.compare or not is_steered:
        arms[DEFAULT] = Arm([], lambda text: text)
    if is_steered:
        arms[STEERED] = Arm(saes.edits(steer, config.steering), config.steering.made().prompted)
    begins_with_bos = settings is not None and settings.corpus.bos != "never"
    return Session(Writer(model, begins_with_bos=begins_with_bos), saes, arms, watched)


def _settings(config: SessionConfig, found: Sequence[FoundSae]) -> RunConfig | None:
    """Those of the SAEs, with the model that is asked for; None without SAEs. Raises ConfigError where no model is known."""
    if config.model.model == OF_RUN and not found:
        raise ConfigError("no model is named.\n  Give --model NAME, or SAEs of a run with --sae RUN.")
    return settings_for(found, model=config.model) if found else None
