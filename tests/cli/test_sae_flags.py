"""`--sae` flags: lists multiply, one architecture can be reached alone, and a wrong setting is refused with what was meant."""

import dataclasses
from typing import Literal

import pytest

from monoseme.cli._sae_flags import Listed, build, help_text, take
from monoseme.cli.main import main
from monoseme.core.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    kind: Literal["unit", "none"] = "unit"
    eps: float = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class One:
    k: int = 32
    inner: Inner = Inner()
    limit: int | None = None
    on: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Two:
    k: int = 32
    sizes: tuple[float, ...] = (1.0,)
    """How large each is."""
    places: tuple[str, ...] | None = None


CONFIGS = {"one": One, "two": Two}


def _build(*words: str) -> list[object]:
    flags, _ = take(words)
    return build(flags, [Listed(name, CONFIGS[name]) for name in flags.names])


def test_words_that_are_not_ours_are_left_in_order() -> None:
    flags, rest = take(["--model", "gpt2", "--sae", "one,two", "--sae.k=16", "--out", "x"])
    assert flags.names == ("one", "two")
    assert rest == ["--model", "gpt2", "--out", "x"]


def test_lists_multiply_into_a_sweep() -> None:
    found = _build("--sae", "one", "--sae.k", "16,32", "--sae.inner.eps", "1e-3,1e-4")
    assert [(c.k, c.inner.eps) for c in found] == [(16, 1e-3), (16, 1e-4), (32, 1e-3), (32, 1e-4)]  # pyright: ignore


def test_a_setting_reaches_every_architecture_that_has_it_or_only_the_one_named() -> None:
    assert _build("--sae", "one,two", "--sae.k", "8", "--sae.two.k", "4", "--sae.on", "true") == [One(k=8, on=True), Two(k=4)]


def test_settings_come_on_top_of_those_of_a_preset() -> None:
    flags, _ = take(["--sae.inner.eps", "1e-3"])
    found = build(flags, [Listed("one", One, {"k": 5, "inner": {"kind": "none"}}), Listed("one", One, {"k": 6})])
    assert found == [One(k=5, inner=Inner(kind="none", eps=1e-3)), One(k=6, inner=Inner(eps=1e-3))]


def test_a_list_setting_is_one_value_not_a_sweep() -> None:
    assert _build("--sae", "two", "--sae.sizes", "0.2,0.8") == [Two(sizes=(0.2, 0.8))]


def test_a_list_that_may_be_missing_is_one_value_too() -> None:
    assert _build("--sae", "two", "--sae.places", "a, b") == [Two(places=("a", "b"))]
    assert _build("--sae", "two", "--sae.places", "none") == [Two(places=None)]


def test_help_says_what_a_setting_is_for() -> None:
    lines = help_text({"two": Two}).splitlines()
    assert lines[lines.index("  --sae.sizes tuple[float, ...] (default: (1.0,))") + 1].strip() == "How large each is."


def test_none_dashes_and_underscores() -> None:
    assert _build("--sae", "one", "--sae.limit", "none") == [One(limit=None)]
    assert _build("--sae", "one", "--sae.limit", "1_000") == [One(limit=1000)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sae", "one", "--sae.kk", "3"), 'Did you mean "k"'),
        (("--sae", "one,two", "--sae.one.sizes", "3"), "none of one, two has this setting"),
        (("--sae", "one", "--sae.k", "many"), "sae.one.k must be a whole number, not 'many'"),
        (("--sae", "one", "--sae.k"), "--sae.k needs a value"),
        (("--sae.k", "3"), "--sae.k needs an architecture"),
        (("--sae", "one", "--sae.on", "yes"), "must be true or false"),
    ],
)
def test_a_bad_setting_is_refused_by_name(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _build(*words)
    assert message in str(caught.value)


def test_help_shows_choices_and_the_defaults_of_settings_inside_settings() -> None:
    lines = help_text({"one": One}).splitlines()
    assert "  --sae.inner.kind {unit,none} (default: unit)" in lines
    assert "  --sae.inner.eps float (default: 1e-05)" in lines
    assert "  --sae.limit int | None (default: None)" in lines


def test_help_of_train_begins_with_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    """Settings of architectures come after; one that reads the first screen sees what to type."""
    with pytest.raises(SystemExit) as ended:
        main(["train", "--sae", "topk", "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert told.startswith("usage: monoseme train")
    assert told.index("monoseme train --model gpt2") < told.index("--out PATH") < told.index("--sae.n_latents int")
    assert "at the end" in told[: told.index("--out PATH")]
