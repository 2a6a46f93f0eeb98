"""Configs: round trips through every format, and refusals that say what to type."""

import dataclasses
import enum
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monoseme.core.config import dump_text, from_dict, load_file, merge, suggest, to_dict
from monoseme.core.errors import ConfigError


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.5
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    k: int
    inner: Inner = Inner()
    path: Path | None = None
    kind: Literal["mean", "zeros"] = "mean"
    pair: tuple[int, float] = (1, 2.0)
    table: dict[str, int] = dataclasses.field(default_factory=dict)
    colour: Colour = Colour.RED
    on: bool = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"k must be at least 1, not {self.k}")


_OUTERS = st.builds(
    Outer,
    k=st.integers(1, 10**6),
    inner=st.builds(
        Inner,
        rate=st.floats(allow_nan=False, allow_infinity=False),
        names=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])), max_size=3).map(tuple),
    ),
    path=st.none() | st.just(Path("a/b")),
    kind=st.sampled_from(["mean", "zeros"]),
    table=st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 9)),
    on=st.booleans(),
)


@given(config=_OUTERS)
def test_to_dict_and_from_dict_are_inverses(config: Outer) -> None:
    assert from_dict(Outer, to_dict(config)) == config


@given(config=_OUTERS, suffix=st.sampled_from([".json", ".toml", ".yaml"]))
def test_every_file_format_gives_the_config_back(tmp_path_factory: pytest.TempPathFactory, config: Outer, suffix: str) -> None:
    path = tmp_path_factory.mktemp("config") / f"c{suffix}"
    path.write_text(dump_text(to_dict(config), suffix), encoding="utf-8", newline="\n")
    assert from_dict(Outer, load_file(path)) == config


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"k": 1, "innr": {}}, 'no setting "innr". Did you mean "inner"?'),
        ({"k": 1, "inner": {"rat": 1.0}}, 'config.inner has no setting "rat". Did you mean "rate"?'),
        ({"k": "3"}, "config.k must be a whole number, not '3'"),
        ({"k": True}, "must be a whole number"),
        ({"k": 1.5}, "must be a whole number"),
        ({"k": 1, "on": 1}, "must be true or false"),
        ({"k": 1, "kind": "meen"}, 'Did you mean "mean"?'),
        ({"k": 1, "pair": [1]}, "must have 2 entries"),
        ({"k": 1, "inner": {"names": "abc"}}, "must be a list"),
        ({"k": 1, "path": 3}, "must be a path"),
        ({"k": 1, "inner": {"rate": float("nan")}}, "inner.rate must be a finite number, not nan"),
        ({"k": 1, "inner": {"rate": float("-inf")}}, "inner.rate must be a finite number, not -inf"),
        ({"k": 1, "inner": {"rate": 10**400}}, "inner.rate must be a finite number, not inf"),
        ({"k": 1, "colour": "blue"}, "Allowed: 'red'"),
        ({}, "lacks k"),
        ({"k": 0}, "k must be at least 1, not 0"),
    ],
)
def test_a_bad_value_is_refused_by_name(data: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(Outer, data)
    assert message in str(caught.value)


def test_a_whole_number_is_a_number() -> None:
    rate = from_dict(Inner, {"rate": 3}).rate
    assert rate == 3.0
    assert isinstance(rate, float)


def test_merge_goes_table_by_table() -> None:
    assert merge({"a": {"x": 1, "y": 2}, "b": [1]}, {"a": {"y": 3}, "b": [2]}) == {"a": {"x": 1, "y": 3}, "b": [2]}


def test_suggest_is_silent_when_nothing_is_close() -> None:
    assert suggest("zzz", ["alpha"]) == ""


@pytest.mark.parametrize(("name", "text"), [("c.ini", ""), ("c.json", "{"), ("c.toml", "= 3"), ("c.yaml", "- 1")])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError):
        load_file(tmp_path / name)
