"""What latents do for the next token, by ablation. Torch is imported only when something is measured."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from monoseme.atlas.effects.measuring import EffectsConfig, measure_effects
    from monoseme.atlas.effects.reading import Effects, effects_folder, open_effects

__all__ = ["Effects", "EffectsConfig", "effects_folder", "measure_effects", "open_effects"]

__getattr__ = lazy_attributes(
    __name__,
    {"measuring": ["EffectsConfig", "measure_effects"], "reading": ["Effects", "effects_folder", "open_effects"]},
)
