"""The settings of `explain`: the run's own, with what the words say on top."""

from monoseme.cli._run_words import read_words
from monoseme.cli.explain import _settings
from monoseme.pipeline import ExplainConfig

OF_RUN = ExplainConfig(explainer="mine", scorer="detection", most_latents=7)


def _told(*words: str) -> ExplainConfig:
    said = read_words(["run", *words], verb="explain", options=("--explainer", "--scorer", "--most-latents"))
    assert said is not None
    return _settings(said, OF_RUN)


def test_what_is_not_said_is_as_in_the_config_of_the_run() -> None:
    assert _told() == OF_RUN
    assert _told("--most-latents", "3") == ExplainConfig(explainer="mine", scorer="detection", most_latents=3)


def test_none_leaves_the_scores_out() -> None:
    assert _told("--scorer", "none", "--explainer", "offline") == ExplainConfig(scorer=None, most_latents=7)
