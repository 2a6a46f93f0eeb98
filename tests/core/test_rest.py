"""Seeds, displays, intervals, and how light the package is."""

import io
import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monoseme.core import display as display_module
from monoseme.core.display import (
    AtMost,
    JsonDisplay,
    PlainDisplay,
    QuietDisplay,
    RichDisplay,
    SilentDisplay,
    counted,
    get_display,
    size_text,
    use_display,
)
from monoseme.core.intervals import Z_95, error_between
from monoseme.core.memory import own_memory_mb
from monoseme.core.seeds import derive_seed, generator


def test_a_stream_s_seed_never_moves() -> None:
    assert derive_seed(7, "topk", "start") == 2394127209598455806


@given(seed=st.integers(0, 2**40), a=st.text(), b=st.text())
def test_streams_of_other_names_differ(seed: int, a: str, b: str) -> None:
    assert (derive_seed(seed, a) == derive_seed(seed, b)) == (a == b)
    assert derive_seed(seed, a, b) != derive_seed(seed, a)
    assert 0 <= derive_seed(seed, a) < 2**63


def test_an_error_comes_back_out_of_its_interval() -> None:
    assert error_between(0.7 - Z_95 * 0.1, 0.7 + Z_95 * 0.1) == pytest.approx(0.1)
    assert error_between(None, 0.9) is None
    assert error_between(0.9, None) is None


def test_names_and_numbers_are_not_confused() -> None:
    assert derive_seed(1, "2") != derive_seed(1, 2)


def test_a_generator_repeats() -> None:
    draws = [torch.rand(3, generator=generator(5, "x")) for _ in range(2)]
    assert torch.equal(*draws)


def test_the_default_display_is_silent_but_warns(capsys: pytest.CaptureFixture[str]) -> None:
    display = get_display()
    assert isinstance(display, SilentDisplay)
    with display.progress("work", total=3, unit="latents") as progress:
        progress.advance(3)
    display.say("nothing")
    assert capsys.readouterr() == ("", "")
    with pytest.warns(UserWarning, match="careful"):
        display.warn("careful")


def test_use_display_is_undone_after_an_error() -> None:
    before = get_display()
    with pytest.raises(ZeroDivisionError), use_display(QuietDisplay()):
        assert isinstance(get_display(), QuietDisplay)
        raise ZeroDivisionError
    assert get_display() is before


def test_json_display_writes_one_object_and_warnings_apart(capsys: pytest.CaptureFixture[str]) -> None:
    display = JsonDisplay()
    display.say("chatter")
    display.warn("careful")
    display.result({"fvu": 0.5})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"fvu": 0.5}
    assert err == "warning: careful\n"


def test_plain_progress_shows_rate_and_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 2.0, 4.0])
    monkeypatch.setattr(display_module.time, "monotonic", lambda: next(now))
    with PlainDisplay(every_seconds=1.0).progress("train", total=100, unit="steps") as progress:
        progress.advance(20, fvu=0.25)
    assert capsys.readouterr().err == "train: 20/100 steps (10/s, 8 s left)  fvu 0.25\ntrain: 20 steps in 4.0 s\n"


def test_more_than_was_expected_leaves_no_time_below_zero(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter([0.0, 2.0, 4.0])
    monkeypatch.setattr(display_module.time, "monotonic", lambda: next(now))
    with PlainDisplay(every_seconds=1.0).progress("capture", total=6000, unit="tokens") as progress:
        progress.advance(6001)
    assert "/s, 0 s left)" in capsys.readouterr().err


def test_a_total_that_is_a_bound_is_told_as_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 2.0, 4.0])
    monkeypatch.setattr(display_module.time, "monotonic", lambda: next(now))
    with PlainDisplay(every_seconds=1.0).progress("read", total=AtMost.of(6000), unit="tokens") as progress:
        progress.advance(1000)
    told = "read: 1,000 of at most 6,000 tokens (500/s, at most 10 s left)\nread: 1,000 tokens in 4.0 s\n"
    assert capsys.readouterr().err == told
    assert AtMost.of(None) is None


def test_a_bar_with_a_bound_ends_where_the_work_did(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with RichDisplay().progress("read", total=AtMost(6000), unit="tokens") as progress:
        progress.advance(1000)
    assert "1000/1000 tokens " in stream.getvalue()


def test_sizes_have_units_of_a_thousand() -> None:
    assert [size_text(n) for n in (12, 999, 1000, 1.23456e9, 5e17)] == ["12 bytes", "999 bytes", "1 kB", "1.235 GB", "500 PB"]


def test_one_is_counted_as_one() -> None:
    assert [counted(n, "shards") for n in (0, 1, 1234)] == ["0 shards", "1 shard", "1,234 shards"]


def test_rich_progress_never_reads_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    display = RichDisplay()
    with display.progress("a [red]b", total=2, unit="[x]") as progress:
        progress.advance(2, note="[bold]n")
    display.say("[link=x]text[/link]")
    assert "[link=x]text[/link]" in stream.getvalue()
    assert "a [red]b" in stream.getvalue()


def test_own_memory_is_plausible() -> None:
    assert 5 < own_memory_mb() < 50_000


def test_importing_monoseme_loads_no_torch() -> None:
    code = "import sys, monoseme.core.artifact, monoseme.core.registry; print(*(m in sys.modules for m in ('torch', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False False\n"
