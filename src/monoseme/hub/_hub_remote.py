"""The hub of models and datasets, by huggingface_hub: uploads in one commit, downloads into its cache.

The token comes from HF_TOKEN, a `.env` file in the working folder, or `hf auth login`. HF_ENDPOINT names another hub.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

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
            done = api.upload_folder(
                repo_id=str(repo),
                folder_path=folder,
                repo_type=repo.kind,
                revision=branch,
                commit_message=sending.message,
                delete_patterns=list(OURS),
            )
        return Sent(done.oid, done.oid != before)

    def fetch(self, repo: Repo, revision: str | None) -> Fetched:
        """Into the hub's cache: what was fetched before an interruption is not fetched again."""
        api, settings = self._api(), hub_settings()
        with _told(repo, "read", revision):
            sha = api.repo_info(str(repo), repo_type=repo.kind, revision=revision).sha
            folder = api.snapshot_download(str(repo), repo_type=repo.kind, revision=sha, cache_dir=settings.cache_dir)
        return Fetched(str(sha), Path(folder))

    def _api(self) -> "HfApi":
        from huggingface_hub import HfApi  # a second to import

        return HfApi(token=hub_settings().token)


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
    except errors.HFValidationError as error:
        raise AddressError(f"the hub takes no such name: {error}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "requests", "urllib3"):  # which one is its own matter
            raise AddressError(_offline(what, error)) from error
        raise


def _offline(what: str, error: Exception) -> str:
    return f"the hub cannot be reached for {what} ({type(error).__name__}).\n  Type it again when there is a network."


def _http_message(what: str, done: str, error: Exception) -> str:
    """What a status means."""
    status = int(getattr(getattr(error, "response", None), "status_code", 0) or 0)
    said = str(getattr(error, "server_message", "") or "").strip()[:300]
    meant = {
        401: "the hub does not accept the token.\n  Log in again with:  hf auth login",
        403: f"this token may not have {what} {done}.\n  See who is logged in with:  hf auth whoami",
        409: f"{what} is being written by somebody else at this moment.\n  Type it again.",
        413: f"a file is larger than the hub takes for {what}.",
        402: f"the account has no room left for {what}: its quota is used up.",
        429: "the hub asks to wait: too many requests.\n  Type it again in some minutes: what is there is not sent again.",
    }.get(status, f"the hub could not have {what} {done} (status {status}).\n  Type it again: what is there already is kept.")
    return meant + (f"\n  The hub says: {said}" if said else "")
