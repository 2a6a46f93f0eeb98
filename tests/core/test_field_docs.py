"""What stands under a field is its documentation."""

from dataclasses import dataclass

from monoseme.core.field_docs import field_docs


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base."""

    a: int = 1
    """Of the base (count)."""
    b: int = 2
    """Also of the base."""


@dataclass(frozen=True, kw_only=True)
class Derived(Base):
    """A class."""

    b: int = 3
    """Its own, over
    two lines."""
    c: int = 4
    d: int = 5
    """The last."""


def test_fields_have_what_stands_under_them_and_own_ones_win() -> None:
    assert field_docs(Derived) == {"a": "Of the base (count).", "b": "Its own, over two lines.", "d": "The last."}


def test_a_class_without_source_has_none() -> None:
    made = type("Made", (), {"__annotations__": {"a": int}})
    assert field_docs(made) == {}
