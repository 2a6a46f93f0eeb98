"""Words that name SAEs on the hub, and the files that such a word needs.

    hf://owner/name               a repository
    hf://owner/name@v1/saes/a     a folder or a file in it, of a branch, a tag or a commit
    owner/name/saes/a@v1          the same, where no folder `owner` is here

Only what the word names is fetched, into huggingface_hub's cache: the files that lie in the folder, or a file with the small ones
beside it. MONOSEME_HUB may name a folder (or file:// address) that stands in for the hub, as `monoseme.hub` writes it too:

    ROOT/owner/name/refs/REVISION       the id of what a branch or a tag is at
    ROOT/owner/name/snapshots/ID/...    its files
    ROOT/owner/name/...                 the files themselves, where there are no refs
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from monoseme.core.config import suggest
from monoseme.core.errors import AddressError, ConfigError
from monoseme.models._env import hub_settings

HUB_VARIABLE = "MONOSEME_HUB"
"""Environment variable: a folder that stands in for the hub."""
MAIN = "main"
"""The branch that is meant where none is said."""
REFS, SNAPSHOTS = "refs", "snapshots"
SCHEME = "hf://"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REVISION = r"refs/pr/\d{1,6}|[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_WORD = re.compile(
    rf"(?P<repo>{_PART}/{_PART})(?:@(?P<early>{_REVISION}))?(?:/(?P<inside>[^@]+?))?/?(?:@(?P<late>{_REVISION}))?", re.ASCII
)
_ID = re.compile(r"[0-9a-f]{40}")
_PART_OF_ID = re.compile(r"[0-9a-f]{4,39}")
_WEIGHTS = (".safetensors", ".pt", ".pth", ".npz", ".ckpt", ".bin")
_SMALL = (".json", ".yaml", ".yml")
_FINGERPRINT = "fingerprint.safetensors"
_RUN = "run.json"
_N_TOLD = 12


class HubWord(NamedTuple):
    """A repository, and what of it is meant."""

    repo: str
    """owner/name."""
    revision: str | None
    """A branch, a tag or a commit; None: the main branch."""
    inside: str
    """A folder or a file of it; empty: all of it."""

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}{f'@{self.revision}' if self.revision else ''}{f'/{self.inside}' if self.inside else ''}"


def hub_word(word: str) -> HubWord | None:
    """What a word names on the hub; None where it names none, or its first part is a folder here.

    Raises ConfigError for a word that begins with hf:// and is none, or climbs out of the repository.
    """
    text = word.removeprefix(SCHEME)
    is_address = text != word
    match = _WORD.fullmatch(text)
    if not is_address and (match is None or Path(text.partition("/")[0]).exists()):
        return None
    if match is None or (match["early"] and match["late"]):
        raise ConfigError(f"{word} names no repository.\n  Write hf://owner/name, hf://owner/name@REVISION or .../FOLDER/IN/IT")
    inside = match["inside"] or ""
    if ".." in f"{text}/".split("/") or inside.startswith("/") or "\\" in inside or "\0" in inside:
        raise ConfigError(f"{word} climbs out of its repository: a path in it has no .. in it")
    return HubWord(match["repo"], match["early"] or match["late"], str(PurePosixPath(inside)) if inside else "")


def fetched(word: HubWord) -> Path:
    """What the word names as a file or folder here, with all that reading it needs. The files are not to be written to.

    Raises AddressError: no such repository, revision or path, a gated one, no network, or several SAEs where one is to be named.
    """
    root = stand_in(os.environ)
    if root is not None:
        folder = snapshot_in(root / word.repo, word.revision)
        names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        return folder / needed_files(names, word).at
    return _downloaded(word)


def stand_in(environment: Mapping[str, str]) -> Path | None:
    """The folder that stands in for the hub; None: the hub itself."""
    root = environment.get(HUB_VARIABLE)
    return Path(root.removeprefix("file://")).expanduser() if root else None


def snapshot_in(home: Path, revision: str | None) -> Path:
    """The files of a revision of a repository that lies in a folder. Raises AddressError."""
    if not home.is_dir():
        raise AddressError(f"there is no repository {home.parent.name}/{home.name} in {home.parent.parent}")
    if not (home / REFS).is_dir():
        if revision not in (None, MAIN):
            raise AddressError(f"{home} keeps no revisions, so it has no {revision!r}")
        return home
    wanted = revision or MAIN
    found = wanted if _ID.fullmatch(wanted) else revision_in(home, wanted)
    if found is None or not (home / SNAPSHOTS / found).is_dir():
        refs = home / REFS
        there = [path.relative_to(refs).as_posix() for path in sorted(refs.rglob("*")) if path.is_file()]
        names = ", ".join(name for name in there if not PurePosixPath(name).name.startswith("."))
        whole = sorted(path.name for path in (home / SNAPSHOTS).glob(f"{wanted}*")) if _PART_OF_ID.fullmatch(wanted) else []
        meant = f"\n  Write the whole id: {', '.join(whole)}" if whole else ""
        raise AddressError(f"{home} has no revision {wanted!r}.\n  It has: {names or 'none'}{meant}")
    return home / SNAPSHOTS / found


def revision_in(home: Path, name: str) -> str | None:
    """The id that a branch or a tag of a repository in a folder is at; None where there is no such name."""
    file = home / REFS / name
    found = file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else ""
    return found if _ID.fullmatch(found) else None


def is_kept_repository(path: Path) -> bool:
    """Whether a folder holds a repository with its revisions."""
    return (path / REFS).is_dir() and (path / SNAPSHOTS).is_dir()


class Needed(NamedTuple):
    """What is fetched of a repository."""

    files: list[str]
    at: str
    """The file or folder that is then read; empty: the repository."""


def needed_files(names: Sequence[str], word: HubWord) -> Needed:
    """The files of a repository that reading what a word names needs; a folder with one SAE somewhere in it means that one.

    Raises AddressError for a path that there is not (with near names), and for a folder that holds several SAEs.
    """
    inside = word.inside
    if inside in names:
        near = {str(PurePosixPath(inside).parent)}
        near |= {str(PurePosixPath(folder).parent) for folder in near if folder.endswith("checkpoints")}
        return Needed([name for name in names if name == inside or (_folder(name) in near and _goes_along(name))], inside)
    below = [name for name in names if not inside or name.startswith(f"{inside}/")]
    if not below:
        folders = {str(parent) for name in names for parent in PurePosixPath(name).parents} - {"."}
        near_name = suggest(inside, [*folders, *names])
        shown = sorted(folder for folder in folders if "/" not in folder) or sorted(names)
        raise AddressError(f"{word.repo} has nothing at {inside}.{near_name}\n  It has: {_listed(shown)}")
    direct = [name for name in below if _folder(name) == (inside or ".")]
    if any(PurePosixPath(name).name == _RUN for name in direct):
        return Needed(direct + [name for name in below if name.startswith(f"{inside}/saes/".lstrip("/"))], inside)
    if any(_holds_weights(name) for name in direct):
        return Needed(direct, inside)
    folders = sorted({_folder(name) for name in below if _holds_weights(name)})
    if not folders:
        raise AddressError(f"{word} holds no weights.\n  It has: {_listed(sorted(below))}")
    if len(folders) > 1:
        told = "\n".join(
            f"    {SCHEME}{word.repo}{f'@{word.revision}' if word.revision else ''}/{one}" for one in folders[:_N_TOLD]
        )
        more = f"\n    and {len(folders) - _N_TOLD:,} more" if len(folders) > _N_TOLD else ""
        raise AddressError(f"{word} holds {len(folders):,} SAEs; name one.\n{told}{more}")
    only = PurePosixPath(folders[0])
    at = str(only.parent if only.name == "checkpoints" else only)
    return Needed([name for name in below if at == "." or name.startswith(f"{at}/")], "" if at == "." else at)


def _folder(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _goes_along(name: str) -> bool:
    return PurePosixPath(name).suffix in _SMALL or PurePosixPath(name).name == _FINGERPRINT


def _holds_weights(name: str) -> bool:
    return PurePosixPath(name).suffix in _WEIGHTS and PurePosixPath(name).name != _FINGERPRINT


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_N_TOLD]) + (" ..." if len(names) > _N_TOLD else "")


def _downloaded(word: HubWord) -> Path:
    """What is read, in the cache. The token goes to huggingface_hub alone."""
    from huggingface_hub import HfApi, errors, hf_hub_download, snapshot_download  # a second to import

    hub = hub_settings()
    try:
        info = HfApi(token=hub.token).model_info(word.repo, revision=word.revision)
        needed = needed_files([one.rfilename for one in info.siblings or ()], word)
        paths = [
            Path(hf_hub_download(word.repo, name, revision=info.sha, token=hub.token, cache_dir=hub.cache_dir))
            for name in needed.files
        ]
        return paths[0].parents[needed.files[0].count("/")] / needed.at
    except (
        errors.GatedRepoError,
        errors.RevisionNotFoundError,
        errors.RepositoryNotFoundError,
        errors.HFValidationError,
    ) as error:
        raise AddressError(_refused(word, error)) from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, OSError) as error:
        try:
            kept = snapshot_download(word.repo, revision=word.revision, cache_dir=hub.cache_dir, local_files_only=True)
        except (errors.LocalEntryNotFoundError, OSError):
            raise AddressError(_unreached(word, error)) from error
        folder = Path(kept)
        names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        return folder / needed_files(names, word).at
    except Exception as error:
        if type(error).__module__.partition(".")[0] in (
            "httpx",
            "httpx2",
            "requests",
            "urllib3",
        ):  # which one is huggingface_hub's matter
            raise AddressError(_unreached(word, error)) from error
        raise


def _refused(word: HubWord, error: Exception) -> str:
    """What the hub answered, and what to do."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return (
            f"{word.repo} is gated: its authors ask you to accept terms first.\n"
            f"  1. Accept them at https://huggingface.co/{word.repo}\n"
            "  2. Type:  hf auth login      (or set HF_TOKEN, also in a .env file here)"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{word.repo} has no revision {word.revision!r}: no branch, tag or commit is called so."
    return f"the hub knows no repository {word.repo}. Is it spelt right?\n  A private one needs HF_TOKEN (type:  hf auth login)."


def _unreached(word: HubWord, error: Exception) -> str:
    return (
        f"{word} is not in the hub's cache, and the hub cannot be reached ({type(error).__name__}).\n"
        f"  Where there is a network, type:  hf download {word.repo}{f' --revision {word.revision}' if word.revision else ''}"
    )
