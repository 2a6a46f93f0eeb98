"""Files of other tools are loaded with distrust: nothing in them is run, and a refusal says how to convert them."""

import contextlib
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monoseme.core.errors import ForeignError
from monoseme.tensors.foreign_file import load_table, load_tensor

X = torch.arange(21.0).reshape(3, 7).bfloat16()


class Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


def _dump(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


@pytest.mark.parametrize("zipped", [True, False])
def test_both_forms_of_torch_save_are_read(tmp_path: Path, zipped: bool) -> None:
    torch.save(X, tmp_path / "x.pkl", _use_new_zipfile_serialization=zipped)
    assert torch.equal(load_tensor(tmp_path / "x.pkl"), X)


def test_a_payload_is_refused_and_never_run(tmp_path: Path) -> None:
    witness = tmp_path / "run"
    bad = Payload(witness)
    torch.save(bad, tmp_path / "zip.pt")
    torch.save({"x": X, "meta": bad}, tmp_path / "table.pt")
    torch.save(bad, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    _dump(bad, tmp_path / "plain.pkl")
    for name in ("zip.pt", "table.pt", "old.pt", "plain.pkl"):
        with pytest.raises(ForeignError, match="can run any program"):
            load_tensor(tmp_path / name)
    assert not witness.exists()
    pickle.loads((tmp_path / "plain.pkl").read_bytes())  # noqa: S301 - the payload does what it is feared for
    assert witness.exists()


def _torch_table(value: object, path: Path) -> None:
    torch.save({"x": value, "of": Path("/")}, path)


def test_the_script_of_the_refusal_converts_the_folder_and_what_it_writes_is_read(tmp_path: Path) -> None:
    scripts: list[str] = []
    folders = {"it's plain": _dump, "table": _torch_table}
    for name, save in folders.items():
        (tmp_path / name).mkdir()
        for i in range(2):
            save(X + i, tmp_path / name / f"states_{i:05d}.pkl")
        with pytest.raises(ForeignError) as refused:
            load_tensor(tmp_path / name / "states_00000.pkl")
        script = re.search(r"python - <<'END'\n(.*)END$", str(refused.value), re.DOTALL)
        assert script is not None
        scripts.append(script[1])
    subprocess.run([sys.executable, "-c", "\n".join(scripts)], check=True, timeout=120)
    for name in folders:
        for i in range(2):
            assert torch.equal(load_tensor(tmp_path / name / f"states_{i:05d}.safetensors"), X + i)


def test_a_view_that_claims_more_numbers_than_the_file_has_bytes_is_refused(tmp_path: Path) -> None:
    torch.save(torch.ones(1).expand(10**9, 1000), tmp_path / "x.pt")
    with pytest.raises(ForeignError, match=r"claims \(1000000000, 1000\) numbers"):
        load_tensor(tmp_path / "x.pt")


def test_other_tensors_and_other_things_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(torch.eye(4).to_sparse(), path)
    with pytest.raises(ForeignError, match="not a plain one"):
        load_tensor(path)
    torch.save({"activation": X, "tokens": X[0], "meta": ["a"]}, path)
    with pytest.raises(ForeignError, match="holds a table of activation, tokens, meta"):
        load_tensor(path)
    assert sorted(load_table(path)) == ["activation", "tokens"]
    assert torch.equal(load_tensor(path, key="activation"), X)
    torch.save(5, path)
    with pytest.raises(ForeignError, match="holds int, not a tensor"):
        load_tensor(path)
    with pytest.raises(ForeignError, match="cannot read"):
        load_tensor(tmp_path / "none.pt")
    path.write_bytes(b"")
    with pytest.raises(ForeignError, match="is empty"):
        load_tensor(path)
    path.write_bytes(b"hello")
    with pytest.raises(ForeignError, match=r"neither a file of torch.save nor"):
        load_tensor(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(zipped=st.booleans(), is_cut=st.booleans(), at=st.integers(0, 1 << 12), junk=st.binary(min_size=1, max_size=6))
def test_a_file_that_is_cut_or_altered_is_one_clear_error_or_a_tensor(
    tmp_path: Path, zipped: bool, is_cut: bool, at: int, junk: bytes
) -> None:
    path = tmp_path / "altered.pt"
    torch.save(X, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    at %= len(whole)
    path.write_bytes(whole[:at] if is_cut else whole[:at] + junk + whole[at + len(junk) :])
    with contextlib.suppress(ForeignError):
        assert isinstance(load_tensor(path), torch.Tensor)
