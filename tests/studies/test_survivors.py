"""One that fails costs the others nothing: it is left out, noted, and remembered."""

from pathlib import Path

import pytest

from monoseme.core.display import QuietDisplay, use_display
from monoseme.core.errors import NonFiniteLossError, TrainingError
from monoseme.studies._survivors import train_survivors


def _fails(*names: str):
    def trial(name: str) -> None:
        if name in names:
            raise RuntimeError(f"{name} is broken\nin two lines")

    return trial


def test_what_fails_its_trial_is_left_out_with_its_error_and_traceback(tmp_path: Path) -> None:
    with use_display(QuietDisplay()):
        found = train_survivors(["a", "b", "c"], tmp_path, trial=_fails("b"), attempt=lambda names, _: names)
    assert found.result == ("a", "c")
    assert found.failed == {"b": "RuntimeError: b is broken"}
    assert "in two lines" in (tmp_path / "errors" / "b.txt").read_text()


def test_a_loss_that_is_not_finite_costs_the_others_a_new_beginning_in_a_new_folder(tmp_path: Path) -> None:
    calls: list[tuple[tuple[str, ...], str]] = []

    def attempt(names: tuple[str, ...], folder: Path) -> tuple[str, ...]:
        calls.append((names, folder.name))
        if "relu" in names:
            raise NonFiniteLossError('the loss or gradient of "relu.target_l0_8" was not finite at step 7.\n  More.')
        return names

    with use_display(QuietDisplay()):
        found = train_survivors(["relu", "topk"], tmp_path, trial=_fails(), attempt=attempt)
    assert calls == [(("relu", "topk"), "run0"), (("topk",), "run1")]
    assert "step 7" in found.failed["relu"]


def test_a_second_call_knows_what_failed_and_uses_the_same_folder(tmp_path: Path) -> None:
    folders: list[Path] = []
    with use_display(QuietDisplay()):
        for trial in (_fails("b"), _fails("a", "b")):  # the second trial is never asked
            train_survivors(["a", "b"], tmp_path, trial=trial, attempt=lambda _, folder: folders.append(folder))
    assert folders == [tmp_path / "run1"] * 2


def test_an_error_that_names_nobody_is_not_swallowed(tmp_path: Path) -> None:
    def attempt(names: tuple[str, ...], folder: Path) -> None:
        raise NonFiniteLossError("something else")

    with pytest.raises(NonFiniteLossError):
        train_survivors(["a"], tmp_path, trial=_fails(), attempt=attempt)


def test_when_none_is_left_the_errors_are_told(tmp_path: Path) -> None:
    with use_display(QuietDisplay()), pytest.raises(TrainingError, match="a: RuntimeError: a is broken"):
        train_survivors(["a"], tmp_path, trial=_fails("a"), attempt=lambda names, _: names)
