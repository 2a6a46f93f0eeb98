"""Where SAEs are shared, as one small protocol: the hub and a folder of this machine keep revisions alike.

A revision is everything in a repository at one time; it has an id and never changes. Branches and tags name revisions, and a push
to a branch moves it. What is sent appears as one revision or not at all.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from monoseme.hub._repos import MAIN, Repo, RepoWord


@dataclass(frozen=True, kw_only=True)
class Sending:
    """How something is sent."""

    revision: str | None = None
    """The branch that moves to it, made where there is none; None: the main branch."""
    private: bool | None = None
    """Whether a repository that is made is private; None: as the account has it. One that exists keeps what it is."""
    message: str = "Sent by monoseme"
    """What the revision says of itself."""

    @property
    def branch(self) -> str:
        """The branch that moves."""
        return self.revision or MAIN


class Sent(NamedTuple):
    """What came of sending."""

    revision: str
    """Id of the revision that the branch is at now."""
    is_new: bool
    """False where the branch held the very same before."""


class Fetched(NamedTuple):
    """A revision on this machine."""

    revision: str
    """Its id, exactly."""
    folder: Path
    """Read-only: it belongs to the remote or to its cache."""


class Remote(ABC):
    """A place of repositories."""

    @abstractmethod
    def address(self, repo: Repo, revision: str | None = None) -> str:
        """Where a person finds it: an address for a browser, or a folder."""

    @abstractmethod
    def send(self, repo: Repo, folder: Path, sending: Sending) -> Sent:
        """Makes the files of a folder the revision that a branch is at; files of an older push that are not among them go.

        Raises AddressError: no token, no right, offline, no room.
        """

    @abstractmethod
    def fetch(self, repo: Repo, revision: str | None) -> Fetched:
        """The files of a revision (None: of the main branch). Raises AddressError."""


def remote_of(word: RepoWord) -> Remote:
    """The place that a word means; nothing is asked yet."""
    if word.root is not None:
        from monoseme.hub._folder_remote import FolderRemote

        return FolderRemote(word.root)
    from monoseme.hub._hub_remote import HubRemote

    return HubRemote()
