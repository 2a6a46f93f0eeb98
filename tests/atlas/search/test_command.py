"""The command that searches an atlas: what it finds, and what it refuses."""

import json

import pytest

from monoseme.atlas import Atlas
from monoseme.cli.search import main
from monoseme.core.display import JsonDisplay, use_display
from monoseme.core.errors import ArtifactMissingError, ConfigError


def _found(atlas: Atlas, capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    with use_display(JsonDisplay()):
        assert main([str(atlas.path), *words]) == 0
    return json.loads(capsys.readouterr().out)["found"]["topk"]


def test_explanations_are_found_by_their_words(planted: Atlas, capsys: pytest.CaptureFixture[str]) -> None:
    hits = _found(planted, capsys, "cat", "--n", "1")["hits"]
    assert [hit["latent"] for hit in hits] == [0]
    assert '" cat"' in hits[0]["text"]


def test_words_that_no_explanation_has_are_looked_for_with_text(planted: Atlas, capsys: pytest.CaptureFixture[str]) -> None:
    for words, typed in (
        (["elephants"], '--text "elephants"'),
        (["$HOME", "now"], "--text '$HOME now'"),
        (["elephants", "--where", "latent < 3"], '--text "elephants"'),
    ):
        assert main([str(planted.path), *words]) == 0
        assert f"monoseme search {planted.path} {typed}\n" in capsys.readouterr().out
    for words in (["--text", "elephants"], ["--where", "latent > 99"]):
        assert main([str(planted.path), *words]) == 0
        told = capsys.readouterr().out
        assert "no latent found" in told
        assert "explanations were searched" not in told


def test_a_phrase_is_found_with_the_latents_that_fire_there(planted: Atlas, capsys: pytest.CaptureFixture[str]) -> None:
    found = _found(planted, capsys, "--text", " the cat", "--sae", "topk")
    assert {hit["latent"] for hit in found["hits"] if hit["share"] == 1.0} == {0, 1}
    assert all(" the cat" in place["text"] for place in found["places"])


def test_what_is_said_of_latents_stands_beside_them(planted: Atlas, capsys: pytest.CaptureFixture[str]) -> None:
    label = next(part.label for part in planted.annotations("topk") if part.holds == "explanations")
    for words in ([], ["--label", label]):
        hits = _found(planted, capsys, "--text", " the cat", *words)["hits"]
        assert '" cat"' in {hit["latent"]: hit["explanation"] for hit in hits}[0]
    assert main([str(planted.path), "--text", " the cat"]) == 0
    assert '" cat"' in capsys.readouterr().out
    with pytest.raises(ConfigError, match='no explanations "mine"'):
        main([str(planted.path), "--text", "cat", "--label", "mine"])


def test_latents_are_found_by_their_numbers(planted: Atlas, capsys: pytest.CaptureFixture[str]) -> None:
    found = _found(planted, capsys, "--where", "n_fired = 0")
    assert (found["n_matching"], [hit["latent"] for hit in found["hits"]]) == (1, [2])


def test_what_is_shown_holds_no_control_characters(planted: Atlas, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(planted.path), "--text", "\x07"]) == 0
    shown = capsys.readouterr().out
    assert r"\x07" in shown
    assert "\x07" not in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs words"),
        (["cat", "--text", "cat"], "a phrase alone"),
        (["cat", "--roles", "user"], "--roles goes with --text only"),
        (["--text", "cat", "--roles", "user"], "nobody speaks"),
        (["cat", "--label", "mine"], 'no explanations "mine"'),
        (["cat", "--sae", "tpk"], 'Did you mean "topk"'),
    ],
)
def test_words_that_do_not_go_together_are_refused(planted: Atlas, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        main([str(planted.path), *words])


def test_a_folder_that_is_not_there_is_told() -> None:
    with pytest.raises(ArtifactMissingError, match="monoseme scan"):
        main(["/nowhere/atlas", "cat"])
