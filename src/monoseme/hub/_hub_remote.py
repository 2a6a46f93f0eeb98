"""The hub of models and datasets, by huggingface_hub: uploads in one commit, downloads into its cache.

The token comes from HF_TOKEN, a `.env` file in the working folder, or `hf auth login`. HF_ENDPOINT names another hub.
"""

import contextlib
import fnmatch
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monoseme.core.errors import AddressError
from monoseme.hub._remote import Fetched, Remote, Sending, Sent
from monoseme.hub._repos import MAIN, Repo, check_revision
from monoseme.models._env import hub_settings

if TYPE_CHECKING:
    from huggingface_hub import HfApi

OURS = ("monoseme.json", "run.json", "manifest.json", "saes/*", "evaluations/*", "annotations/*", "explanations/*", "training/*",
        "figures/*", "formats/*", "latents/*", "text/*", "relations/*", "effects/*", "sentences/*", "layers/*")  # fmt: skip
"""What an older push may have left in a repository; other files are their owners' and stay."""


class HubRemote(Remote):
    """Repositories on the hub."""

    def __repr__(self) -> str:
        return "HubRemote()"

    def address(self, repo: Repo, revision: str | None = None) -> str:
        """For a browser."""
        from huggingface_hub import constants

        kind = "datasets/" if repo.kind == "dataset" else ""
        return f"{constants.ENDPOINT}/{kind}{repo}" + ("" if revision is None else f"/tree/{revision}")

    def send(self, repo: Repo, folder: Path, sending: Sending) -> Sent:
        """One commit; none where nothing changed, so that a push can be typed again."""
        api, branch = self._api(), check_revision(sending.branch)
        with _told(repo, "written"):
            _require_token(api)
            api.create_repo(str(repo), repo_type=repo.kind, private=sending.private, exist_ok=True)
            if branch != MAIN:
                api.create_branch(str(repo), branch=branch, repo_type=repo.kind, exist_ok=True)
            before = api.repo_info(str(repo), repo_type=repo.kind, revision=branch).sha
            # upload_folder may make several commits (huggingface_hub 2), between which the branch would be half of each
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
                done = api.create_commit(
                    str(repo),
                    _operations(api, repo, folder, str(before)),
                    commit_message=sending.message,
                    repo_type=repo.kind,
                    revision=branch,
                    parent_commit=before,
                )
        return Sent(done.oid, done.oid != before)

    def fetch(self, repo: Repo, revision: str | None) -> Fetched:
        """Into the hub's cache: what was fetched before an interruption is not fetched again."""
        api, settings = self._api(), hub_settings()
        with _told(repo, "read", revision):
            sha = api.repo_info(str(repo), repo_type=repo.kind, revision=revision or MAIN).sha
            folder = api.snapshot_download(str(repo), repo_type=repo.kind, revision=sha, cache_dir=settings.cache_dir)
        return Fetched(str(sha), Path(folder))

    def _api(self) -> "HfApi":
        from huggingface_hub import HfApi  # a second to import

        return HfApi(token=hub_settings().token)


def _operations(api: "HfApi", repo: Repo, folder: Path, before: str) -> list[Any]:
    """Every file of the folder; of an older push, what is not among them goes."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    there = api.list_repo_files(str(repo), repo_type=repo.kind, revision=before)
    gone = [name for name in there if name not in files and any(fnmatch.fnmatch(name, pattern) for pattern in OURS)]
    adds = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(path)) for name, path in files.items()]
    return [*adds, *(CommitOperationDelete(path_in_repo=name) for name in gone)]


def _require_token(api: "HfApi") -> None:
    from huggingface_hub import get_token

    if not (api.token or get_token()):
        raise AddressError(
            "there is no token of the hub, and only its owner may write into a repository.\n"
            "  Log in with:  hf auth login\n  or set HF_TOKEN, here or in a file .env, to a token that may write"
        )


@contextlib.contextmanager
def _told(repo: Repo, done: str, revision: str | None = None) -> Iterator[None]:
    """Turns what huggingface_hub raises into one clear message."""
    from huggingface_hub import errors

    what = f"dataset {repo}" if repo.kind == "dataset" else str(repo)
    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise AddressError(f"{what} has no revision {revision or MAIN!r}: no branch, tag or commit is called so.") from error
    except errors.GatedRepoError as error:
        raise AddressError(f"{what} asks for terms to be accepted first.\n  Open https://huggingface.co/{repo}") from error
    except errors.RepositoryNotFoundError as error:
        raise AddressError(
            f"the hub knows no {what}, or this token may not see it (private repositories answer so).\n"
            "  See who is logged in with:  hf auth whoami"
        ) from error
    except errors.HfHubHTTPError as error:
        raise AddressError(_http_message(what, done, error)) from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise AddressError(_offline(what, error)) from error
    except RuntimeError as error:  # of an upload: what went wrong is behind it
        if isinstance(error.__cause__, errors.HfHubHTTPError):
            raise AddressError(_http_message(what, done, error.__cause__)) from error
        if not _is_of_network(error.__cause__):
            raise
        raise AddressError(_offline(what, error)) from error
    except errors.HFValidationError as error:
        raise AddressError(f"the hub takes no such name: {error}") from error
    except Exception as error:
        if _is_of_network(error):
            raise AddressError(_offline(what, error)) from error
        raise


def _is_of_network(error: BaseException | None) -> bool:
    """Which library it asks the network with is huggingface_hub's own matter."""
    return type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "requests", "urllib3")


def _offline(what: str, error: Exception) -> str:
    return f"the hub cannot be reached for {what} ({type(error).__name__}).\n  Type it again when there is a network."


def _http_message(what: str, done: str, error: Exception) -> str:
    """What a status means."""
    status = int(getattr(getattr(error, "response", None), "status_code", 0) or 0)
    said = str(getattr(error, "server_message", "") or "").strip()[:300]
    meant = {
        401: "the hub does not accept the token.\n  Log in again with:  hf auth login",
        403: f"this token may not have {what} {done}.\n  See who is logged in with:  hf auth whoami",
        412: f"{what} was written by somebody else meanwhile, and nothing was sent.\n  Type it again.",
        409: f"{what} is being written by somebody else at this moment.\n  Type it again.",
        413: f"a file is larger than the hub takes for {what}.",
        402: f"the account has no room left for {what}: its quota is used up.",
        429: "the hub asks to wait: too many requests.\n  Type it again in some minutes: what is there is not sent again.",
    }.get(status, f"the hub could not have {what} {done} (status {status}).\n  Type it again: what is there already is kept.")
    return meant + (f"\n  The hub says: {said}" if said else "")
