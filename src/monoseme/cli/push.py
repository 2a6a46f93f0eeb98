"""Share SAEs: send a run, or one SAE of it, to the hub with a card made from the run.

    monoseme push RUN owner/name                            all SAEs, what was measured, and their explanations
    monoseme push RUN/saes/topk owner/name --licence mit    one SAE
    monoseme push RUN owner/name --atlas                    and the whole atlas, as the dataset owner/name-atlas
    monoseme push RUN owner/name --dry-run                  what would be sent, and the card; nothing is
    monoseme push RUN ./shared/owner/name                   into a folder that stands in for the hub (also MONOSEME_HUB=FOLDER)

--explanations LABEL or none, --revision, --private, --message, --base-model, --format NAME (as another tool keeps SAEs) and
--also NAME (beside ours). Every file is verified first; paths of this machine are taken out. The same push again changes nothing.
"""

from pathlib import Path

from monoseme.cli._options import parse, wants_help
from monoseme.cli._verbs import document
from monoseme.core.display import get_display, size_text
from monoseme.core.errors import ConfigError
from monoseme.core.files import typed
from monoseme.hub import PushConfig, Pushed, push
from monoseme.hub._repos import without_revision

_MOST_LISTED = 40


def main(words: list[str]) -> int:
    """Sends SAEs."""
    places = [word for word in words[:2] if not word.startswith("-")]
    if len(places) < 2 and not wants_help(words):
        raise ConfigError("push needs what is sent, and where to.\n  Type:  monoseme push RUN owner/name")
    config = parse(PushConfig, words[len(places) :], verb="push RUN owner/name", summary=document("push"))
    source, repo = places
    found = push(source, repo, config)
    _tell(found, repo, config)
    get_display().result(_facts(found))
    return 0


def _place(address: str) -> str:
    """An address, or a folder as a path: one that is relative could be a name of the hub."""
    return address if "://" in address or Path(address).is_absolute() else f"./{address.removeprefix('./')}"


def _tell(found: Pushed, repo: str, config: PushConfig) -> None:
    display, is_dry = get_display(), config.dry_run
    for one in (found, found.atlas):
        if one is None:
            continue
        done = "would send" if is_dry else "sent" if one.is_new else "nothing to send: there already are"
        display.say(f"{done} {len(one.files):,} files ({size_text(one.n_bytes)}): {_place(one.address)}")
        for file in one.files[:_MOST_LISTED] if is_dry else ():
            display.say(f"  {size_text(file.n_bytes):>10}  {file.name}")
        if is_dry and len(one.files) > _MOST_LISTED:
            display.say(f"  and {len(one.files) - _MOST_LISTED:,} more")
        if one.revision is not None:
            display.say(f"  revision: {one.revision}")
    if found.hashes_changed:
        display.say(
            f"  {len(found.hashes_changed)} manifests named a path of this machine: it was taken out, so that their content "
            "hashes are others there."
        )
    if found.hashes_changed and config.base_model is None:
        display.say("  if it was the model's folder, --base-model OWNER/NAME says which model that is")
    if "Licence: not stated" in found.card:
        display.say("  no licence is stated: give one with --licence, such as mit")
    if not is_dry:
        word = typed(f"{without_revision(repo)}@{found.revision}")
        display.say(
            f"  get it with:  monoseme pull {word} --out {found.repo.partition('/')[2]}{' --atlas' if found.atlas else ''}"
        )


def _facts(found: Pushed) -> dict[str, object]:
    """JSON-able."""
    files = [file._asdict() for file in found.files]
    more = {"files": files, "n_bytes": found.n_bytes, "atlas": None if found.atlas is None else _facts(found.atlas)}
    return {**found._asdict(), **more, "hashes_changed": list(found.hashes_changed)}
