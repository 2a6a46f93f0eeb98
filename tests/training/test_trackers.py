"""Subscribers to the metrics: what reaches each service, and what is said when its library is missing."""

import builtins
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from monoseme.core.errors import ExtraMissingError, UnknownPluginError
from monoseme.training.trackers import TRACKERS, open_tracker
from monoseme.training.trackers._base import Scalar, scalars

ROW = {"step": 6, "tokens": 30, "sae": "one", "loss": 0.5, "loss/auxk": 0.0, "fvu": None}
VALIDATION = {"event": "validation", "step": 6, "sae": "one", "fvu": 0.25}
FACTS = {"train": {"lr": None, "schedule": {"kind": "linear"}}, "saes": {"one": {"k": 3}}}


class Recorder:
    """Stands for any object of a foreign library: remembers the calls made on it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.info = SimpleNamespace(run_id="r1")
        self.experiment_id = "e1"

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **settings: Any) -> "Recorder":
            self.calls.append((name, arguments, settings))
            return self

        return call

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(arguments, settings) for called, arguments, settings in self.calls if called == name]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def install(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    module = ModuleType(name)
    for key, value in contents.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)


def test_the_numbers_of_a_row_are_named_after_its_sae() -> None:
    assert list(scalars(ROW)) == [Scalar("one/tokens", 30.0), Scalar("one/loss", 0.5), Scalar("one/loss/auxk", 0.0)]
    assert list(scalars(VALIDATION)) == [Scalar("one/validation/fvu", 0.25)]


def test_there_are_three() -> None:
    assert TRACKERS.names() == ["mlflow", "tensorboard", "wandb"]


def test_a_misspelt_tracker_is_answered_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UnknownPluginError, match="tensorboard"):
        open_tracker("tensorbord", folder=tmp_path, facts=FACTS)


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb"), ("mlflow", "mlflow")]
)
def test_a_missing_library_names_the_extra(name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(wanted: str, *arguments: Any) -> Any:
        if wanted.startswith(module):
            raise ImportError(wanted)
        return real(wanted, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ExtraMissingError, match=rf"monoseme\[{name}\]"):
        open_tracker(name, folder=tmp_path, facts=FACTS)


def test_tensorboard_gets_scalars_at_the_step(recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    install(monkeypatch, "torch.utils.tensorboard", __path__=[])
    install(monkeypatch, "torch.utils.tensorboard.writer", SummaryWriter=lambda log_dir: (folders.append(log_dir), recorder)[1])
    tracker = open_tracker("tensorboard", folder=tmp_path, facts=FACTS)
    tracker.log(ROW)
    tracker.close(failed=False)
    assert folders == [str(tmp_path / "tensorboard")]
    assert (("one/loss", 0.5), {"global_step": 6}) in recorder.of("add_scalar")
    assert '"kind": "linear"' in recorder.of("add_text")[0][0][1]
    assert recorder.of("close")


def test_wandb_takes_the_same_run_up_again(recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[dict[str, Any]] = []
    install(monkeypatch, "wandb", init=lambda **settings: (begun.append(settings), recorder)[1])
    for _ in range(2):
        tracker = open_tracker("wandb", folder=tmp_path, facts=FACTS)
        tracker.log(VALIDATION)
        tracker.close(failed=True)
    assert begun[0]["id"] == begun[1]["id"]
    assert begun[0]["config"] == FACTS
    assert recorder.of("log")[0][0] == ({"step": 6, "one/validation/fvu": 0.25},)
    assert recorder.of("finish")[0][1] == {"exit_code": 1}


def test_mlflow_gets_metrics_and_flat_parameters(recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "mlflow", set_experiment=lambda _: recorder, MlflowClient=lambda: recorder)
    tracker = open_tracker("mlflow", folder=tmp_path / "run" / "training", facts=FACTS)
    tracker.log(ROW)
    tracker.close(failed=False)
    assert recorder.of("create_run")[0] == (("e1",), {"run_name": "run"})
    assert (("r1", "train.schedule.kind", "linear"), {}) in recorder.of("log_param")
    assert (("r1", "one/loss", 0.5), {"step": 6}) in recorder.of("log_metric")
    assert recorder.of("set_terminated")[0][1] == {"status": "FINISHED"}


def test_a_run_tells_its_trackers(tiny: ModuleType, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "wandb", init=lambda **_: recorder)
    tiny.tiny_run(tmp_path, names=("one",), trackers=("wandb",))
    steps = [arguments[0]["step"] for arguments, _ in recorder.of("log")]
    assert steps == [3, 3, 4, 4, 6, 6, 8, 8, 9, 9, 12, 12, 12, 13, 13, 13]  # rows, latents, validations
    assert recorder.of("finish")[0][1] == {"exit_code": 0}
