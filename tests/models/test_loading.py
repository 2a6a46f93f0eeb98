"""Loading from folders and the hub, and every way in which it can fail."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import torch
from huggingface_hub import errors as hub_errors

from monoseme.core.errors import ConfigError, ExtraMissingError, GatedModelError, ModelError, ModelNotFoundError
from monoseme.models import LanguageModel, ModelConfig, Site
from monoseme.models._env import hub_settings, read_env
from monoseme.models.local import name_elsewhere, require_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama on disk."""
    from monoseme.testing.models import tiny_model

    path = tmp_path_factory.mktemp("models") / "tiny"
    model = tiny_model("llama")
    model._model.save_pretrained(path)
    model.tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Makes the hub's client fail as it does on a network, which tests do not have."""

    def failing(error: Exception) -> None:
        def download(*args: object, **kwargs: object) -> str:
            raise error

        monkeypatch.setattr("huggingface_hub.hf_hub_download", download)

    return failing


def _answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub"))


def test_a_folder_gives_the_model_that_was_saved(folder: Path, llama: LanguageModel, tokens: torch.Tensor) -> None:
    model = LanguageModel.load(str(folder))
    assert torch.equal(model.run(tokens).logits, llama.run(tokens).logits)
    assert model.encode("the cat") == llama.encode("the cat")
    assert model.spec == llama.spec
    assert model.config == ModelConfig(model=str(folder))


def test_weights_take_no_gradient_and_dropout_is_off(folder: Path) -> None:
    model = LanguageModel.load(str(folder))
    assert not any(p.requires_grad for p in model._model.parameters())
    assert not model._model.training


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_type_asked_for_is_the_type_of_the_activations(folder: Path, tokens: torch.Tensor, dtype: str) -> None:
    model = LanguageModel.load(ModelConfig(model=str(folder), dtype=dtype))  # pyright: ignore[reportArgumentType]
    assert model.dtype == getattr(torch, dtype)
    assert model.capture(tokens, [Site("resid_post", 1)])[Site("resid_post", 1)].dtype == getattr(torch, dtype)


def test_auto_takes_the_type_the_weights_were_saved_in(folder: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    LanguageModel.load(ModelConfig(model=str(folder), dtype="bfloat16"))._model.save_pretrained(half)
    shutil.copy(folder / "tokenizer.json", half)
    shutil.copy(folder / "tokenizer_config.json", half)
    assert LanguageModel.load(ModelConfig(model=str(half), dtype="auto")).dtype == torch.bfloat16
    assert LanguageModel.load(ModelConfig(model=str(half))).dtype == torch.float32


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_implementations_agree(folder: Path, llama: LanguageModel, tokens: torch.Tensor, attention: str) -> None:
    model = LanguageModel.load(ModelConfig(model=str(folder), attention=attention))
    torch.testing.assert_close(model.run(tokens).logits, llama.run(tokens).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="accelerate is not installed")
def test_a_device_map_gives_the_same_logits_also_from_a_site(folder: Path, llama: LanguageModel, tokens: torch.Tensor) -> None:
    model = LanguageModel.load(ModelConfig(model=str(folder), device_map="auto"))
    site = Site("resid_post", 1)
    out = model.run(tokens, capture=[site])
    torch.testing.assert_close(out.logits.cpu(), llama.run(tokens).logits, atol=1e-4, rtol=1e-4)
    assert torch.equal(model.run_from(site, out.captured[site], tokens=tokens), out.logits)
    assert torch.equal(model.run(tokens).logits, out.logits)


def test_a_missing_folder_says_what_to_give() -> None:
    for name in ("./no/such/model", "/no/such/model", "~/no-such-model", "a/b/c"):
        with pytest.raises(ModelNotFoundError, match=r"no model folder at .*\n.*config\.json.*bundled"):
            LanguageModel.load(name)


def test_a_folder_without_a_model_names_those_inside_it(folder: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no config\.json.*\n.*tiny"):
        LanguageModel.load(str(folder.parent))


def test_a_damaged_folder_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(ModelError, match="broken cannot be loaded"):
        LanguageModel.load(str(broken))
    (broken / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="broken cannot be loaded"):
        LanguageModel.load(str(broken))


def test_weights_that_are_not_there_are_never_drawn_at_random(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    partial = shutil.copytree(folder, tmp_path / "partial")
    weights = load_file(partial / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of its weights, first model\.layers\.1\.mlp\.up_proj"):
        LanguageModel.load(str(partial))


def test_a_revision_of_a_folder_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="revision"):
        LanguageModel.load(ModelConfig(model=str(folder), revision="main"))


def test_a_hub_id_out_of_reach_says_how_to_fetch_it() -> None:
    with pytest.raises(ModelNotFoundError, match="hf download some-owner/some-model"):
        LanguageModel.load("some-owner/some-model")


def test_a_name_without_an_owner_is_not_looked_for_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def out_of_reach(name: str, *_: object, **__: object) -> str:
        asked.append(name)
        raise hub_errors.LocalEntryNotFoundError("out of reach")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", out_of_reach)
    with pytest.raises(ModelNotFoundError, match=r'no model folder "stories260K-llama" here.*\n.*where the SAEs.*--model FOLDER'):
        LanguageModel.load("stories260K-llama")
    assert asked == []
    for name in ("gpt2", "gpt2-medium", "distilgpt2"):
        with pytest.raises(ModelNotFoundError, match=f"hf download {name}"):
            LanguageModel.load(name)
    assert asked == ["gpt2", "gpt2-medium", "distilgpt2"]


def test_what_can_be_no_id_is_told_so() -> None:
    with pytest.raises(ModelNotFoundError, match="neither a folder nor a hub id"):
        LanguageModel.load("two words")


def test_a_gated_model_is_one_clear_error(hub: Callable[[Exception], None]) -> None:
    hub(hub_errors.GatedRepoError("Access to model is restricted", response=_answer(403)))
    with pytest.raises(GatedModelError, match=r"huggingface\.co/owner/gated\n.*hf auth login.*HF_TOKEN"):
        LanguageModel.load("owner/gated")


def test_a_model_or_revision_that_is_not_there_is_told_so(hub: Callable[[Exception], None]) -> None:
    hub(hub_errors.RepositoryNotFoundError("404", response=_answer(404)))
    with pytest.raises(ModelNotFoundError, match="spelt right"):
        LanguageModel.load("owner/mispelt")
    hub(hub_errors.RevisionNotFoundError("404", response=_answer(404)))
    with pytest.raises(ModelNotFoundError, match="no revision 'v9'"):
        LanguageModel.load(ModelConfig(model="owner/model", revision="v9"))


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_quantised_loading_names_its_extra(folder: Path) -> None:
    with pytest.raises(ExtraMissingError, match=r"monoseme\[quantise\]"):
        LanguageModel.load(ModelConfig(model=str(folder), quantise="8bit"))


def test_devices_that_are_not_there_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="no device"):
        LanguageModel.load(ModelConfig(model=str(folder), device="gpu"))
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="not available here"):
            LanguageModel.load(ModelConfig(model=str(folder), device="cuda"))


def test_settings_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="device_map"):
        ModelConfig(model="x", device="cuda", device_map="auto")
    with pytest.raises(ConfigError, match="empty"):
        ModelConfig(model=" ")


def test_code_that_comes_with_a_model_does_not_run_unasked(folder: Path, tmp_path: Path) -> None:
    hostile = shutil.copytree(folder, tmp_path / "hostile")
    ran = tmp_path / "ran"
    (hostile / "modeling_x.py").write_text(f"open({str(ran)!r}, 'w')\nclass X: pass\n")
    config = json.loads((hostile / "config.json").read_text())
    config |= {"model_type": "x-own", "auto_map": {"AutoConfig": "modeling_x.X", "AutoModelForCausalLM": "modeling_x.X"}}
    (hostile / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="cannot be loaded"):
        LanguageModel.load(str(hostile))
    assert not ran.exists()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("/data/models/gpt2", "./gpt2"),
        ("/data/models/gpt2/", "./gpt2"),
        ("~/pythia", "./pythia"),
        ("../pythia", "./pythia"),
        ("a/b/c", "./c"),
        (r"C:\models\gpt2", "./gpt2"),
        ("C:/models/gpt2", "./gpt2"),
        ("C:/", "./model"),
        (".", "./model"),
        ("~", "./model"),
        ("~nobody/..", "./model"),
        ("./pythia", "./pythia"),
        ("models/pythia", "models/pythia"),  # the same wherever one pushes from
        ("gpt2", "gpt2"),
        ("EleutherAI/pythia-70m", "EleutherAI/pythia-70m"),
        ("bundled", "bundled"),
    ],
)
def test_a_folder_has_a_name_elsewhere_that_the_hub_cannot_have(
    model: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("models/pythia", "bundled"):
        (tmp_path / "here" / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert name_elsewhere(model) == name
    assert name_elsewhere(name) == name
    if name.startswith("./"):
        with pytest.raises(ModelNotFoundError, match=r"(?s)no model folder at \./.*where the SAEs were made\?.*--model FOLDER"):
            LanguageModel.load(name)


def test_the_hash_follows_weights_and_tokenizer_not_the_place(folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    first = LanguageModel.load(str(folder)).content_hash()
    assert LanguageModel.load(str(moved)).content_hash() == first
    assert LanguageModel.load(ModelConfig(model=str(moved), dtype="bfloat16")).content_hash() == first
    text = (moved / "tokenizer.json").read_text()
    (moved / "tokenizer.json").write_text(text + " ")
    assert LanguageModel.load(str(moved)).content_hash() != first


def test_the_hash_of_a_model_in_memory_follows_its_tensors() -> None:
    from monoseme.testing.models import tiny_model

    first, again, other = tiny_model("llama"), tiny_model("llama"), tiny_model("llama", seed=1)
    assert first.content_hash() == again.content_hash() != other.content_hash()
    assert first.content_hash().startswith("sha256:")


def test_the_token_comes_from_env_files_unless_it_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("# hub\nexport HF_TOKEN='hf_abc'\nHF_HOME=/data/hf # big disk\n\nnonsense\n")
    for name in ("HF_TOKEN", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    assert hub_settings(tmp_path) == ("hf_abc", Path("/data/hf/hub"))
    monkeypatch.setenv("HF_TOKEN", "hf_set")
    monkeypatch.setenv("HF_HOME", "/set")
    assert hub_settings(tmp_path) == (None, None)
    assert hub_settings(tmp_path / "nowhere") == (None, None)


@pytest.mark.parametrize(
    ("line", "value"), [('A="x # y"', "x # y"), ("A=x#y", "x#y"), ("A = x ", "x"), ("A=", ""), ("A='it", "it"), ("A=b=c", "b=c")]
)
def test_env_lines_are_read_as_written(tmp_path: Path, line: str, value: str) -> None:
    (tmp_path / ".env").write_text(line)
    assert read_env(tmp_path) == {"A": value}


@pytest.mark.parametrize("model", ["~nosuchuser/x", "a" * 300, "./" + "a" * 300])
def test_a_name_that_no_folder_can_have_is_told_as_one_that_is_not_there(model: str) -> None:
    with pytest.raises(ModelNotFoundError, match="no model folder"):
        require_model(model)
