"""An index of somebody else that is not as it should be is one clear error."""

from pathlib import Path
from typing import Any

import pytest

from monoseme.core.errors import AddressError, ForeignError, MonosemeError
from monoseme.core.files import write_json
from monoseme.hub._index import INDEX, read_index

_FACTS = {"hash": "sha256:ab", "bytes": 3}
_SOUND: dict[str, Any] = {
    "kind": "hub",
    "schema": 1,
    "holds": "sae",
    "saes": {"topk": {"path": ".", "content_hash": "sha256:ab"}},
    "explanations": [],
    "files": {"a.json": _FACTS},
}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"schema": "1"}, ForeignError),
        ({"schema": 2}, AddressError),
        ({"saes": {}}, ForeignError),
        ({"files": {"a.json": {**_FACTS, "bytes": True}}}, ForeignError),
        ({"files": {"a.json": {**_FACTS, "bytes": -1}}}, ForeignError),
        ({"files": {"C:a.json": _FACTS}}, ForeignError),
        ({"files": {".hidden/a.json": _FACTS}}, ForeignError),
        ({"files": {"é" * 200: _FACTS}}, ForeignError),
    ],
)
def test_what_an_index_says_is_checked(change: dict[str, Any], error: type[MonosemeError], tmp_path: Path) -> None:
    write_json(tmp_path / INDEX, _SOUND)
    assert read_index(tmp_path, what="me/tiny").saes == {"topk": "."}
    write_json(tmp_path / INDEX, {**_SOUND, **change})
    with pytest.raises(error):
        read_index(tmp_path, what="me/tiny")
