"""The flags of `explain` and `score`: the run's own settings with what the words say on top, and settings of plug-ins."""

import json
from pathlib import Path

import pytest

from monoseme.cli import explain, score
from monoseme.core.errors import ConfigError, UnknownPluginError
from monoseme.judges import DeskSettings
from monoseme.pipeline import ExplainConfig

OF_RUN = ExplainConfig(explainer="offline", explainer_config={"most_rules": 3}, scorer="detection", most_latents=7, label="mine")


def _told(*words: str) -> ExplainConfig:
    return explain.read_flags(["run", *words], OF_RUN).config


def test_what_is_not_said_is_as_in_the_config_of_the_run() -> None:
    told = _told()
    assert told.explainer_config["most_rules"] == 3
    assert (told.explainer, told.scorer, told.most_latents, told.label, told.judge) == ("offline", "detection", 7, "mine", None)
    assert _told("--most-latents", "3").most_latents == 3


def test_settings_of_another_explainer_do_not_carry_over() -> None:
    told = _told("--explainer", "llm_top", "--explainer.n_top", "9", "--judge=local")
    assert told.explainer_config["n_top"] == 9
    assert "most_rules" not in told.explainer_config
    assert _told("--explainer", "offline", "--explainer.fewest_firings", "5").explainer_config == {
        "most_rules": 3,
        "fewest_firings": 5,
    }


def test_none_leaves_the_scores_out() -> None:
    assert _told("--scorer", "none").scorer is None
    with pytest.raises(ConfigError, match=r"--scorer.seed is given, but no scorer"):
        _told("--scorer", "none", "--scorer.seed", "3")


def test_a_judge_is_named_with_its_settings_and_how_it_is_asked() -> None:
    told = _told("--judge", "anthropic", "--judge.model", "claude-haiku-4-5", "--budget", "5", "--batch", "--label", "llm")
    assert (told.judge, told.judge_config["model"], told.label) == ("anthropic", "claude-haiku-4-5", "llm")
    assert told.desk == DeskSettings(budget=5.0, batch=True)
    assert "sk-" not in json.dumps(told.judge_config)


def test_latents_are_chosen_by_number_density_and_draw() -> None:
    which = _told("--latents", "0-9,12", "--sample", "5", "--min-density", "1e-4", "--seed", "3").which
    assert (which.latents, which.sample, which.min_density, which.max_density, which.seed) == ("0-9,12", 5, 1e-4, None, 3)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--explainer",), "needs a name"),
        (("--explainer", "none"), "needs an explainer"),
        (("--judge.model", "x"), "no judge"),
        (("--latents", "a-b"), "names no latents"),
        (("--sample", "0"), "sample must be at least 1"),
        (("--min-density", "2"), "share of tokens"),
        (("--budget", "-1"), "budget must be finite and above 0"),
    ],
)
def test_words_that_cannot_be_are_refused(words: tuple[str, ...], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        _told(*words)


def test_a_plug_in_there_is_not_is_refused_with_what_was_meant() -> None:
    with pytest.raises(UnknownPluginError, match='Did you mean "llm_top"'):
        _told("--explainer", "llm_topp")


def test_saes_may_be_parted_by_commas_and_a_file_gives_settings(tmp_path: Path) -> None:
    file = tmp_path / "explain.toml"
    file.write_text('label = "filed"\nexplainer = "llm_deciles"\njudge = "local"\n[explainer_config]\nper_decile = 2\n')
    said = explain.read_flags(["run", "--sae", "topk,tsae", "--config", str(file), "--dry-run"], OF_RUN)
    assert (said.paths, said.saes, said.dry_run) == (("run",), ("topk", "tsae"), True)
    assert (said.config.label, said.config.explainer_config["per_decile"]) == ("filed", 2)


def test_the_scorer_of_a_run_is_for_its_own_explainer() -> None:
    assert explain.read_flags(["run", "--explainer", "llm_top", "--judge", "local"], OF_RUN).config.scorer is None
    named = explain.read_flags(["run", "--explainer", "llm_top", "--judge", "local", "--scorer", "detection"], OF_RUN)
    assert named.config.scorer == "detection"


def test_score_has_the_same_words() -> None:
    said = score.read_flags(
        ["a", "b", "--scorer", "llm_detection", "--judge", "local", "--explanations", "llm", "--scorer.seed", "4"]
    )
    assert said.paths == ("a", "b")
    assert (said.config.scorer, said.config.explanations, said.config.scorer_config["seed"]) == ("llm_detection", "llm", 4)
    assert score.read_flags(["a", "--latents", "3-5"]).config.which.latents == "3-5"
    with pytest.raises(ConfigError, match="needs a scorer"):
        score.read_flags(["a", "--scorer=none"])
