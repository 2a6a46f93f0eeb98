"""Numbers of a plan: their sums, their words, and that a missing one has its reason."""

import pytest

from monoseme.planning.figure import Figure, Unit, amount, missing, total


def _bytes(value: float, found: str = "exact") -> Figure:
    return Figure(name="x", value=value, unit="bytes", found=found)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (7, "bytes", "7 B"),
        (1_250_000_000, "bytes", "1.25 GB"),
        (999_600, "bytes", "1 MB"),
        (3.5e12, "FLOP/s", "3.5 TFLOP/s"),
        (0.81, "seconds", "0.81 s"),
        (42.4, "seconds", "42 s"),
        (200, "seconds", "3 min 20 s"),
        (7500, "seconds", "2 h 5 min"),
        (3600, "seconds", "1 h"),
        (86_400 * 3 + 3600 * 4, "seconds", "3 d 4 h"),
        (12_345.4, "tokens/s", "12,345 tokens/s"),
        (2.5, "money", "2.50"),
    ],
)
def test_an_amount_is_written_as_people_read_it(value: float, unit: Unit, text: str) -> None:
    assert amount(value, unit) == text


def test_a_sum_was_found_as_its_weakest_part_was() -> None:
    whole = total("all", [_bytes(3), _bytes(5, "computed"), _bytes(7, "measured")])
    assert (whole.value, whole.found) == (15, "computed")


def test_a_sum_lacks_what_a_part_lacks() -> None:
    whole = total("all", [_bytes(3), missing("disk", "bytes", "nobody knows")])
    assert whole.value is None
    assert whole.why_missing == "disk is not known: nobody knows"


def test_a_value_without_a_way_and_a_gap_without_a_reason_are_our_mistake() -> None:
    with pytest.raises(AssertionError):
        Figure(name="x", value=1.0, unit="bytes", found=None)
    with pytest.raises(AssertionError):
        Figure(name="x", value=None, unit="bytes", found=None)


def test_json_leaves_empty_remarks_out_and_keeps_a_missing_value() -> None:
    assert _bytes(3).to_json() == {"name": "x", "value": 3, "unit": "bytes", "found": "exact"}
    assert missing("x", "seconds", "why").to_json() == {
        "name": "x",
        "value": None,
        "unit": "seconds",
        "found": None,
        "why_missing": "why",
    }
