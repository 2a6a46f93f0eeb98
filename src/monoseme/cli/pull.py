"""Fetch SAEs that were pushed: every checksum is verified, and the folder is whole or absent.

    monoseme pull owner/name --out DIR               the main branch
    monoseme pull owner/name@v1 --out DIR            a branch, a tag or the id of a revision
    monoseme pull owner/name --out DIR --atlas       with the whole atlas: every verb works as on the run itself
    monoseme pull ./shared/owner/name --out DIR      from a folder that stands in for the hub (also MONOSEME_HUB=FOLDER)

What was fetched before an interruption is not fetched again. At the end it says what to type next.
"""

from dataclasses import dataclass

from monoseme.cli._options import parse, wants_help
from monoseme.cli._verbs import document
from monoseme.core.display import get_display, size_text
from monoseme.core.errors import ConfigError
from monoseme.core.files import typed
from monoseme.hub import Pulled, pull

_MOST_TOLD = 10


@dataclass(frozen=True, kw_only=True)
class _Flags:
    out: str | None = None
    """New folder."""
    atlas: bool = False
    """With the whole atlas of its SAEs."""
    revision: str | None = None
    """Branch, tag or id of a revision, in place of @REVISION."""


def main(words: list[str]) -> int:
    """Fetches SAEs."""
    word = words[0] if words and not words[0].startswith("-") else None
    if word is None and not wants_help(words):
        raise ConfigError("pull needs a repository.\n  Type:  monoseme pull owner/name --out DIR")
    flags = parse(_Flags, words[0 if word is None else 1 :], verb="pull owner/name", summary=document("pull"))
    if word is None or flags.out is None:
        raise ConfigError(f"pull needs a new folder.\n  Type:  monoseme pull {typed(word or 'owner/name')} --out DIR")
    _tell(pull(word, out=flags.out, revision=flags.revision, atlas=flags.atlas))
    return 0


def _tell(found: Pulled) -> None:
    display = get_display()
    display.say(f"pulled {found.repo} to {found.out}: {found.n_files:,} files ({size_text(found.n_bytes)}), every checksum holds")
    display.say(f"  revision: {found.revision}")
    display.say(f"  SAEs: {', '.join(found.saes)}")
    if found.annotations and found.atlas is None:
        display.say("  explanations came along as files; they need an atlas: pull with --atlas, or scan and import them as below")
    for line in found.left_out[:_MOST_TOLD]:
        display.say(f"  left out: {line}")
    if len(found.left_out) > _MOST_TOLD:
        display.say(f"  left out: {len(found.left_out) - _MOST_TOLD:,} more")
    display.say("next:")
    for line in found.next:
        display.say(f"  {line}")
    facts = {
        **found._asdict(),
        "out": str(found.out),
        "saes": {name: str(path) for name, path in found.saes.items()},
        "atlas": None if found.atlas is None else str(found.atlas),
        "annotations": [str(path) for path in found.annotations],
        "left_out": list(found.left_out),
        "next": list(found.next),
    }
    display.result(facts)
