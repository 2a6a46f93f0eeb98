"""How latents are explained and scored: which plug-ins, which judge they ask, which latents."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monoseme.atlas.choice import LatentChoice
from monoseme.core.errors import ConfigError
from monoseme.judges import DeskSettings, JudgeSettings


@dataclass(frozen=True, kw_only=True)
class AskConfig:
    """Which language model plug-ins ask that ask one, and how."""

    judge: str | None = None
    """Plug-in that answers for explainers and scorers that ask a language model: monoseme ls judges. None: none."""
    judge_config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings of the judge by name, such as model. Never a key: keys come from the environment."""
    desk: DeskSettings = field(default_factory=DeskSettings)
    """How it is asked, and for how much at most."""

    @property
    def judge_settings(self) -> JudgeSettings | None:
        """The judge with how it is asked. Raises ConfigError for settings that would go to none."""
        if self.judge is not None:
            return JudgeSettings(judge=self.judge, config=self.judge_config, desk=self.desk)
        if self.judge_config or self.desk != DeskSettings():
            raise ConfigError("settings of a judge are given, but no judge.\n  Name one with --judge; see:  monoseme ls judges")
        return None


@dataclass(frozen=True, kw_only=True)
class ExplainConfig(AskConfig):
    """Which explainer and scorer, and which latents."""

    explainer: str = "offline"
    """Plug-in that writes explanations: monoseme ls explainers."""
    explainer_config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings of the explainer by name."""
    scorer: str | None = "detection"
    """Plug-in that scores them on documents that made none of them: monoseme ls scorers. None: no scores."""
    scorer_config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings of the scorer by name."""
    label: str | None = None
    """What the explanations are called in the atlas. None: as the explainer is."""
    most_latents: int | None = None
    """Explain only the first so many of the chosen latents (count). None: all of them."""
    which: LatentChoice = field(default_factory=LatentChoice)
    """The latents."""

    def __post_init__(self) -> None:
        if self.most_latents is not None and self.most_latents < 1:
            raise ConfigError(f"atlas.explain.most_latents must be at least 1, not {self.most_latents}")


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(AskConfig):
    """Which explanations, and which scorer."""

    explanations: str | None = None
    """Label of the explanations. None: the newest."""
    scorer: str = "detection"
    """Plug-in that scores them on documents that made none of them: monoseme ls scorers."""
    scorer_config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings of the scorer by name."""
    label: str | None = None
    """What the scores are called in the atlas. None: SCORER.EXPLANATIONS."""
    which: LatentChoice = field(default_factory=LatentChoice)
    """The latents whose explanations are scored."""
