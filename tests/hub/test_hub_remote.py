"""The hub itself, by huggingface_hub's own code, against a small server on this machine that speaks the requests used."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monoseme.core.errors import AddressError
from monoseme.hub import PushConfig, pull, push
from monoseme.pipeline import RunFolder, open_saes
from tests.hub.hub_server import TOKEN, HubServer, StoredRepo

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own, of its client


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    from huggingface_hub import constants

    server = HubServer()
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
    template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the server keeps large files as LFS does
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr("monoseme.hub._push._PICTURES", ())
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.delenv("MONOSEME_HUB", raising=False)
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    server.server_close()


def test_a_run_goes_to_the_hub_in_one_commit_and_comes_back(made: RunFolder, hub: HubServer, tmp_path: Path) -> None:
    pushed = push(made.path, "me/tiny", PushConfig(private=True, message="Both SAEs"))
    repo = hub.repos["models/me/tiny"]
    assert (repo.private, repo.messages, repo.branches["main"]) == (True, ["Both SAEs"], pushed.revision)
    assert set(repo.commits[pushed.revision or ""]) == {file.name for file in pushed.files}
    pulled = pull("me/tiny", out=tmp_path / "back")
    assert (pulled.revision, list(pulled.saes)) == (pushed.revision, ["batchtopk", "topk"])
    assert len(open_saes(str(pulled.out))) == 2
    again = push(made.path, "me/tiny", PushConfig(private=True))
    assert (again.is_new, len(repo.messages)) == (False, 1)
    fetched = len(hub.requests)
    pull("hf://me/tiny", out=tmp_path / "again")
    assert not [line for line in hub.requests[fetched:] if "safetensors" in line], "the cache has them"


def test_branches_datasets_and_files_of_an_older_push(made: RunFolder, hub: HubServer, tmp_path: Path) -> None:
    push(made.path, "me/tiny")
    repo = hub.repos["models/me/tiny"]
    repo.commits[repo.branches["main"]]["LICENSE"] = b"theirs"
    second = push(made.sae("topk"), "me/tiny", PushConfig(revision="one", atlas=True))
    assert set(repo.branches) == {"main", "one"}
    held = repo.commits[repo.branches["one"]]
    assert "LICENSE" in held, "what others put there stays"
    assert not [name for name in held if "batchtopk" in name], "what an older push put there goes"
    assert "text/tokens.npy" in hub.repos["datasets/me/tiny-atlas"].commits[hub.repos["datasets/me/tiny-atlas"].branches["one"]]
    pulled = pull("me/tiny@one", out=tmp_path / "back", atlas=True)
    assert (pulled.revision, pulled.left_out) == (second.revision, ("LICENSE: not among the files that were pushed",))
    assert pulled.atlas is not None


@pytest.mark.parametrize(
    ("refuse", "told"),
    [
        ({"/api/repos": 401}, "does not accept the token"),
        ({"/api/repos": 403}, "may not have me/tiny written"),
        ({"/api/models/me/tiny/commit": 412}, "written by somebody else meanwhile"),
        ({"/api/models/me/tiny/commit": 413}, "larger than the hub takes"),
        ({"/api/models/me/tiny/commit": 402}, "quota is used up"),
    ],
)
def test_what_the_hub_refuses_is_told(made: RunFolder, hub: HubServer, refuse: dict[str, int], told: str) -> None:
    hub.refuse.update(refuse)
    with pytest.raises(AddressError, match=told):
        push(made.sae("topk"), "me/tiny")
    if "models/me/tiny" in hub.repos:
        repo = hub.repos["models/me/tiny"]
        assert repo.commits[repo.branches["main"]] == {}, "nothing is half there"


def test_who_has_no_token_is_told_before_anything_is_asked(
    made: RunFolder, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(AddressError, match="hf auth login"):
        push(made.sae("topk"), "me/tiny")
    assert hub.requests == []


def test_what_is_not_there_is_told(made: RunFolder, hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="knows no me/tiny"):
        pull("me/tiny", out=tmp_path / "back")
    push(made.sae("topk"), "me/tiny")
    with pytest.raises(AddressError, match="no revision 'v7'"):
        pull("me/tiny@v7", out=tmp_path / "back")
    with pytest.raises(AddressError, match="without its atlas"):
        pull("me/tiny", out=tmp_path / "back", atlas=True)
    hub.repos["models/me/other"] = StoredRepo(False, {"main": "b" * 40}, {"b" * 40: {"cfg.json": b"{}"}})
    with pytest.raises(AddressError, match="not made by monoseme push"):
        pull("me/other", out=tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_without_a_network_one_is_told(made: RunFolder, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(AddressError, match="cannot be reached"):
        pull("me/tiny", out=tmp_path / "back")
