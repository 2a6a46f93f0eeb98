"""Files of others: what never ends is not read, and what is no number is none."""

import os
from pathlib import Path

import pytest

from monoseme.core.errors import ForeignError
from monoseme.core.foreign import parse_json, read_bytes
from monoseme.tensors.foreign_file import load_table


def test_a_number_beyond_any_float_is_refused() -> None:
    assert parse_json(b"[1e308, 1.5, -2]", where="here") == [1e308, 1.5, -2]
    for text in (b"1e400", b'{"a": [-1e999]}', b"NaN"):
        with pytest.raises(ForeignError, match="here is not valid JSON"):
            parse_json(text, where="here")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("cfg.json", "a.pt", "a.safetensors"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(ForeignError, match="is no ordinary file"):
            (read_bytes if name == "cfg.json" else load_table)(tmp_path / name)
    with pytest.raises(ForeignError, match="is no ordinary file"):
        read_bytes(Path("/dev/zero"))
