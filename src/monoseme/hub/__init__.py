"""SAEs shared: push them to the hub with a card made from their run, pull them verified. Importing this imports no torch.

from monoseme.hub import PushConfig, pull, push

push("runs/demo", "owner/name", PushConfig(licence="mit"))
pull("owner/name", out="name")
"""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from monoseme.hub._pull import Pulled, pull
    from monoseme.hub._push import Card, PushConfig, Pushed, SentFile, card, push
    from monoseme.hub._remote import Remote, remote_of
    from monoseme.hub._repos import HUB_VARIABLE, Repo, RepoWord, parse_repo

__all__ = [
    "HUB_VARIABLE",
    "Card",
    "Pulled",
    "PushConfig",
    "Pushed",
    "Remote",
    "Repo",
    "RepoWord",
    "SentFile",
    "card",
    "parse_repo",
    "pull",
    "push",
    "remote_of",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "_pull": ["Pulled", "pull"],
        "_push": ["Card", "PushConfig", "Pushed", "SentFile", "card", "push"],
        "_remote": ["Remote", "remote_of"],
        "_repos": ["HUB_VARIABLE", "Repo", "RepoWord", "parse_repo"],
    },
)
