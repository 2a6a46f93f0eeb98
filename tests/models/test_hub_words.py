"""Words of the hub: what they name, which files they need, and the errors; a folder stands in for the hub."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from huggingface_hub import errors

from monoseme.core.errors import AddressError, ArtifactMissingError, ConfigError
from monoseme.interchange import ExportSource, export_sae
from monoseme.models import Site
from monoseme.models.hub_words import HubWord, fetched, hub_word, needed_files
from monoseme.pipeline import open_sae, open_saes
from monoseme.saes import build
from monoseme.saes.topk import TopK

LAYERS = ["README.md", *(f"layer_{i}/{file}" for i in range(14) for file in ("cfg.json", "sae.safetensors"))]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONOSEME_HUB", raising=False)


@pytest.mark.parametrize(
    ("word", "means"),
    [
        ("hf://a/b", HubWord("a/b", None, "")),
        ("hf://a/b@v1", HubWord("a/b", "v1", "")),
        ("hf://a/b@v1/saes/x", HubWord("a/b", "v1", "saes/x")),
        ("hf://a/b/saes/x.pt", HubWord("a/b", None, "saes/x.pt")),
        ("hf://a/b@refs/pr/3/x", HubWord("a/b", "refs/pr/3", "x")),
        ("a/b", HubWord("a/b", None, "")),
        ("a/b/layer_12/width_16k@main", HubWord("a/b", "main", "layer_12/width_16k")),
        ("a", None),
        ("/a/b", None),
        ("./a/b", None),
        ("~/a/b", None),
    ],
)
def test_what_a_word_names(word: str, means: HubWord | None) -> None:
    assert hub_word(word) == means


def test_a_folder_that_is_here_is_no_hub(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert hub_word("runs/demo") is None
    assert hub_word("hf://runs/demo") == HubWord("runs/demo", None, "")


@pytest.mark.parametrize(
    "word", ["hf://a/b/../c", "hf://a/b/x/..", "hf://a/../b", "hf://a", "hf://", "hf://a/b@v1/x@v2", "a/b/../../etc"]
)
def test_a_word_that_climbs_out_or_names_nothing_is_refused(word: str) -> None:
    with pytest.raises(ConfigError):
        hub_word(word)


def test_a_folder_needs_its_own_files_alone() -> None:
    assert needed_files(LAYERS, HubWord("a/b", None, "layer_3")).files == ["layer_3/cfg.json", "layer_3/sae.safetensors"]
    root = ["README.md", "cfg.json", "sae.safetensors", "annotations/x.json"]
    assert needed_files(root, HubWord("a/b", None, "")).files == ["README.md", "cfg.json", "sae.safetensors"]


def test_a_file_needs_the_small_ones_beside_it() -> None:
    names = ["x/a.pt", "x/b.pt", "x/config.json", "hyperparams.json", "checkpoints/final.safetensors"]
    assert needed_files(names, HubWord("a/b", None, "x/a.pt")).files == ["x/a.pt", "x/config.json"]
    final = HubWord("a/b", None, "checkpoints/final.safetensors")
    assert needed_files(names, final).files == ["hyperparams.json", "checkpoints/final.safetensors"]


def test_the_only_sae_of_a_repository_need_not_be_named() -> None:
    names = ["README.md", "x/hyperparams.json", "x/checkpoints/final.safetensors"]
    assert needed_files(names, HubWord("a/b", None, "")) == (names[1:], "x")
    assert needed_files(["saes/a/cfg.json", "saes/a/sae.pt"], HubWord("a/b", None, "")).at == "saes/a"


def test_a_run_comes_with_its_saes() -> None:
    names = ["run.json", "saes/topk/manifest.json", "saes/topk/sae.safetensors", "atlas/x.npz", "training/y.pt"]
    assert needed_files(names, HubWord("a/b", None, "")).files == names[:3]


def test_several_saes_are_listed_and_one_is_to_be_named() -> None:
    with pytest.raises(AddressError, match=r"(?s)holds 14 SAEs; name one\.\n    hf://a/b@v1/layer_0\n.*and 2 more"):
        needed_files(LAYERS, HubWord("a/b", "v1", ""))


def test_a_path_that_there_is_not_comes_with_near_ones() -> None:
    with pytest.raises(AddressError, match=r'Did you mean "layer_3"|Did you mean "layer_'):
        needed_files(LAYERS, HubWord("a/b", None, "layer_33"))
    with pytest.raises(AddressError, match="holds no weights"):
        needed_files(["README.md"], HubWord("a/b", None, ""))


def _sae(out: Path) -> Path:
    source = ExportSource(name="one", sites=(Site("resid_post", 1),), model="gpt2")
    export_sae(build(TopK.Config(d_in=7, n_latents=11, k=2)), out, format="plain", source=source)
    return out


def test_a_folder_stands_in_for_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _sae(tmp_path / "remote" / "me" / "flat" / "saes" / "a")
    kept, revision = tmp_path / "remote" / "me" / "kept", "0" * 39 + "7"
    _sae(kept / "snapshots" / revision)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(revision + "\n")
    for address in (str(tmp_path / "remote"), f"file://{tmp_path}/remote"):
        monkeypatch.setenv("MONOSEME_HUB", address)
        assert open_sae("me/flat/saes/a").model == "gpt2"
        assert open_sae("hf://me/flat").sites == (Site("resid_post", 1),)
        assert open_sae("hf://me/kept@main").content_hash == open_sae(f"hf://me/kept@{revision}").content_hash
    assert open_sae(str(kept)).name == "one"
    assert open_sae(f"{kept}@main").name == "one"
    with pytest.raises(AddressError, match=r"no revision 'v2'.*\n  It has: main"):
        open_saes("hf://me/kept@v2")
    with pytest.raises(AddressError, match="there is no repository me/none"):
        open_saes("hf://me/none")
    with pytest.raises(ArtifactMissingError, match=r"(?s)no SAE, run or checkpoint at me/none.*no repository me/none"):
        open_saes("me/none")


class _Hub:
    """What huggingface_hub would answer; keeps what it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *, fails: Exception | None = None) -> None:
        self.folder, self.fails = folder, fails
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        monkeypatch.setattr("huggingface_hub.HfApi", self._api)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", self._download)
        monkeypatch.setattr("huggingface_hub.snapshot_download", self._kept)

    def _api(self, *, token: str | None) -> Any:
        self.tokens.add(token)
        return self

    def model_info(self, repo: str, *, revision: str | None) -> Any:
        if self.fails is not None:
            raise self.fails
        names = [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()]
        return SimpleNamespace(sha="abc", siblings=[SimpleNamespace(rfilename=name) for name in names])

    def _download(self, repo: str, name: str, *, revision: str, token: str | None, cache_dir: Path | None) -> str:
        self.asked.append(f"{repo}@{revision}/{name}")
        self.tokens.add(token)
        return str(self.folder / name)

    def _kept(self, repo: str, *, revision: str | None, cache_dir: Path | None, local_files_only: bool) -> str:
        assert local_files_only
        if not self.folder.exists():
            raise errors.LocalEntryNotFoundError("not here")
        return str(self.folder)


def test_only_what_is_needed_is_fetched_with_the_token_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        _sae(tmp_path / "hub" / name)
    (tmp_path / ".env").write_text("HF_TOKEN=hf_secret\n")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    hub = _Hub(monkeypatch, tmp_path / "hub")
    assert fetched(HubWord("me/it", None, "a")) == tmp_path / "hub" / "a"
    files = ("fingerprint.safetensors", "sae.json", "sae.safetensors")
    assert sorted(hub.asked) == [f"me/it@abc/a/{file}" for file in files]
    assert hub.tokens == {"hf_secret"}
    assert open_sae("hf://me/it/a/sae.safetensors").name == "one"


def _answer(status: int) -> Any:  # of httpx or its successor, as huggingface_hub has it
    return httpx.Response(status, request=httpx.Request("GET", "https://hub"))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.RepositoryNotFoundError("x", response=_answer(404)), "knows no repository me/it"),
        (errors.GatedRepoError("x", response=_answer(403)), "is gated"),
        (errors.RevisionNotFoundError("x", response=_answer(404)), "has no revision 'v1'"),
        (errors.OfflineModeIsEnabled("x"), "hf download me/it --revision v1"),
        (httpx.ConnectError("x"), "cannot be reached"),
    ],
)
def test_what_the_hub_answers_is_told_in_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    _Hub(monkeypatch, tmp_path / "none", fails=error)
    with pytest.raises(AddressError, match=told):
        fetched(HubWord("me/it", "v1", ""))


def test_without_a_network_the_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _sae(tmp_path / "hub" / "a")
    _Hub(monkeypatch, tmp_path / "hub", fails=errors.OfflineModeIsEnabled("x"))
    assert open_sae("hf://me/it/a").model == "gpt2"
