"""A folder that stands in for the hub: what another has put into it is not followed."""

from pathlib import Path

import pytest

from monoseme.core.errors import AddressError
from monoseme.hub._folder_remote import FolderRemote
from monoseme.hub._remote import Sending
from monoseme.hub._repos import parse_repo


def test_a_link_in_a_snapshot_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "README.md").write_text("hello")
    repo = parse_repo("owner/name").repo
    remote = FolderRemote(tmp_path / "root")
    sent = remote.send(repo, given, Sending(message="first"))
    snapshot = remote.fetch(repo, None).folder
    assert (snapshot / "README.md").read_text() == "hello"
    (snapshot / "README.md").unlink()
    (snapshot / "README.md").symlink_to("/etc/hostname")
    with pytest.raises(AddressError, match=r"holds links, which may lead anywhere: README.md"):
        remote.fetch(repo, sent.revision)
