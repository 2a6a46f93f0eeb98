"""Artifacts as they leave this machine: verified, scrubbed, and still the ones that others name by their hash.

What is scrubbed from the environment part of a manifest changes no hash: it is not hashed. Where the hashed part itself names a
path of this machine (a model or a text in a folder), that path is replaced, and so the artifact has another content hash; then
the artifacts that were made from it name the new hash, and their own hashes follow. Each manifest that changed keeps its hash on
this machine as `environment.hash_before_push`. The same artifact always becomes the same, so an atlas sent today still belongs to
the SAE sent yesterday.
"""

import io
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.artifact import MANIFEST, Artifact, check_artifact, open_artifact
from monoseme.core.errors import ArtifactDamagedError, ConfigError
from monoseme.core.files import hash_bytes, typed, write_atomic, write_json
from monoseme.core.manifest import content_hash
from monoseme.hub._scrub import Scrubber, kept_environment

SENT_SUFFIXES = (".safetensors", ".json", ".jsonl", ".parquet", ".npy", ".png", ".md")
"""Of the files that a repository of ours may hold: none of them can run a program."""
_NAMES = "sources.parquet"
"""Of a text store: what documents were cut from, which may be paths of files."""


class _Rewritten(NamedTuple):
    manifest: dict[str, Any]
    replaced: dict[str, bytes]
    """File -> its new content, of the files that are not sent as they are."""
    old_hash: str

    @property
    def new_hash(self) -> str:
        return content_hash(self.manifest)


class Sendable:
    """The artifacts of a run, each as it will be sent."""

    def __init__(self, artifacts: Iterable[Path], scrubber: Scrubber) -> None:
        """Opens the manifests. Raises what `open_artifact` raises."""
        self._scrubber = scrubber
        self._opened = {artifact.content_hash: artifact for artifact in map(open_artifact, artifacts)}
        self._paths = {artifact.path: found for found, artifact in self._opened.items()}
        self._done: dict[str, _Rewritten] = {}

    def hash_of(self, path: Path) -> str:
        """The content hash under which the artifact at a path is sent."""
        return self._rewritten(self._paths[path]).new_hash

    def manifest_of(self, path: Path) -> dict[str, Any]:
        """The manifest with which the artifact at a path is sent."""
        return self._rewritten(self._paths[path]).manifest

    def changed(self) -> list[Path]:
        """Artifacts whose hashed part named a path of this machine, or something made from such a one."""
        return [self._opened[old].path for old in self._opened if self._rewritten(old).new_hash != old]

    def write(self, path: Path, target: Path) -> None:
        """Puts the artifact at `path` into the new folder `target`.

        Raises ArtifactDamagedError where a file of it is not what its manifest says, ConfigError for one that cannot be sent.
        """
        problems = check_artifact(path)
        if problems:
            lines = "\n  ".join([f"{path} is damaged, and nothing was sent:", *problems])
            raise ArtifactDamagedError(f"{lines}\n  See what else is wrong with:  monoseme check {typed(path)}")
        found = self._rewritten(self._paths[path])
        for name in found.manifest["files"]:
            if not name.endswith(SENT_SUFFIXES):
                raise ConfigError(f"{path / name} is of a kind that is never sent.\n  Sent are: {', '.join(SENT_SUFFIXES)}")
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            if name in found.replaced:
                write_atomic(target / name, found.replaced[name])
            else:
                link_or_copy(path / name, target / name)
        write_json(target / MANIFEST, found.manifest)

    def _rewritten(self, old: str) -> _Rewritten:
        if old not in self._done:
            self._done[old] = self._rewrite(self._opened[old], old)
        return self._done[old]

    def _rewrite(self, artifact: Artifact, old: str) -> _Rewritten:
        said = artifact.manifest
        replaced = self._replaced_files(artifact)
        facts = {name: {"hash": hash_bytes(data), "bytes": len(data)} for name, data in replaced.items()}
        inputs = {
            name: self._rewritten(used).new_hash if used in self._opened else used for name, used in artifact.inputs.items()
        }
        made = {
            **{key: value for key, value in said.items() if key != "environment"},
            "config": self._scrubber.clean(said["config"]),
            "inputs": inputs,
            "files": {**said["files"], **facts},
        }
        environment = kept_environment(artifact.environment)
        if content_hash(made) != old:
            environment["hash_before_push"] = old
        return _Rewritten({**made, "environment": environment}, replaced, old)

    def _replaced_files(self, artifact: Artifact) -> dict[str, bytes]:
        """A text store's names of sources, where a path is among them."""
        if _NAMES not in artifact.manifest["files"] or artifact.config.get("holds") != "text":
            return {}
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(artifact.file(_NAMES))
        column = table.column("name").to_pylist()
        names = [name if name is None else self._source_name(name) for name in column]
        if names == column:
            return {}
        buffer = io.BytesIO()
        index = table.schema.get_field_index("name")
        pq.write_table(
            table.set_column(index, table.schema.field("name"), pa.array(names, table.schema.field("name").type)), buffer
        )
        return {_NAMES: buffer.getvalue()}

    def _source_name(self, name: str) -> str:
        """A file's name keeps what follows it: `/data/texts.jsonl:12` becomes `texts.jsonl:12`."""
        return self._scrubber.text(name)


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under another name where the disk can, else a copy; what is linked is only read."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
