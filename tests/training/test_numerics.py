"""What decides the last bits of a run is noted, and a resume goes on with it or says why not."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from monoseme.core.display import SilentDisplay, use_display
from monoseme.kernels import Fastest, choose_kernels, fastest, resolve, taking
from monoseme.training import checkpoint as checkpoints


class Killed(Exception):
    pass


class Said(SilentDisplay):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def _kill_after(step: int) -> Any:
    def on_step(done: int) -> None:
        if done == step:
            raise Killed

    return on_step


def _begin(tiny: ModuleType, folder: Path, kernels: str = "auto") -> None:
    with choose_kernels(kernels), pytest.raises(Killed):
        tiny.tiny_run(folder, on_step=_kill_after(4))


def _last_state(folder: Path) -> dict[str, Any]:
    found = checkpoints.last_sound(folder / "checkpoints")
    assert found is not None
    return found.state


def _edit(folder: Path, change: Any) -> None:
    for path in (folder / "checkpoints").glob("*/state.json"):
        state = json.loads(path.read_text())
        change(state)
        path.write_text(json.dumps(state))


def test_a_resume_goes_on_with_the_kernels_the_run_began_with_and_says_so(tiny: ModuleType, tmp_path: Path) -> None:
    _begin(tiny, tmp_path, "reference")
    assert {job["kernel"] for job in _last_state(tmp_path)["jobs"].values()} == {"reference"}
    with use_display(said := Said()):
        result = tiny.tiny_run(tmp_path, resume=True)
    assert {sae.kernel_name for sae in result.saes.values()} == {"reference"}
    assert f"going on with reference kernels, as the run began, not {resolve('auto')}" in said.lines


def test_kernels_asked_for_by_name_on_resume_win_with_a_warning(tiny: ModuleType, tmp_path: Path) -> None:
    _begin(tiny, tmp_path, "reference")
    with choose_kernels("torch"), pytest.warns(UserWarning, match="reference kernels were used, torch kernels are asked for"):
        result = tiny.tiny_run(tmp_path, resume=True)
    assert {sae.kernel_name for sae in result.saes.values()} == {"torch"}


def test_kernels_that_cannot_run_any_more_are_warned_of(tiny: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    _begin(tiny, tmp_path)
    _edit(tmp_path, lambda state: [job.update(kernel="triton") for job in state["jobs"].values()])
    with pytest.warns(UserWarning, match=r"triton kernels were used, .* kernels are now: they are for cuda"):
        tiny.tiny_run(tmp_path, resume=True)


def test_a_resume_goes_on_with_the_float32_product_the_run_began_with(tiny: ModuleType, tmp_path: Path) -> None:
    other = "mkl" if fastest().float32 == "onednn" else "onednn"
    with taking(Fastest(other, "mkl")):
        _begin(tiny, tmp_path)
    assert _last_state(tmp_path)["numerics"]["float32_product"] == other
    seen: list[Fastest] = []
    with use_display(said := Said()):
        tiny.tiny_run(tmp_path, resume=True, on_step=lambda _: seen.append(fastest()))
    assert {products.float32 for products in seen} == {other}
    assert {products.screen for products in seen} == {fastest().screen}
    assert any("float32 product" in line for line in said.lines)
    assert fastest().float32 != other


def test_a_checkpoint_that_noted_no_products_is_gone_on_with_in_silence(tiny: ModuleType, tmp_path: Path) -> None:
    _begin(tiny, tmp_path)
    _edit(tmp_path, lambda state: [state["numerics"].pop(name) for name in ("float32_product", "screen_product")])
    with use_display(said := Said()):
        tiny.tiny_run(tmp_path, resume=True)
    assert len(said.lines) == 1  # where it goes on from
