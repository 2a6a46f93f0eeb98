"""An exported vector does in plain transformers what it does here."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.steering.conftest import SITE, make, small_sae
from torch import Tensor

from monoseme.core.errors import ArtifactDamagedError, ConfigError, SiteError
from monoseme.models import LanguageModel, Site
from monoseme.splice import Placed
from monoseme.steering import STEERING, Aim, LatentFacts, Strength, export_vectors, read_vectors
from monoseme.testing.models import TINY_FAMILIES

ADDITIVE = STEERING.get("additive")()
AIMS = [Aim(3, Strength(2.0, "max"), LatentFacts(maximum=1.5)), Aim(7, Strength(-1.0, "raw"))]


@pytest.mark.parametrize(("family", "kind"), [*((family, "resid_post") for family in TINY_FAMILIES), ("gpt2", "resid_pre")])
def test_a_hook_of_torch_with_the_files_alone_steers_alike(tokens: Tensor, tmp_path: Path, family: str, kind: str) -> None:
    model = make(family)
    site = Site(kind, 1)
    place = Placed(small_sae("topk", model.spec.d_model), (site,))
    export_vectors(tmp_path, model, ADDITIVE, place, AIMS)
    (said,) = json.loads((tmp_path / "steering_vector.json").read_text())["vectors"]
    vector = load_file(tmp_path / "steering_vector.safetensors")[said["site"]]
    block = model._model.get_submodule(said["module"])
    special = torch.tensor(sorted(model.special_ids))
    add = (~torch.isin(tokens, special)).unsqueeze(-1) * vector

    def at_output(_module: object, _args: object, output: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        return (output[0] + add, *output[1:]) if isinstance(output, tuple) else output + add

    def at_input(_module: object, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0] + add, *args[1:])

    hook = block.register_forward_hook(at_output) if said["hook"] == "output" else block.register_forward_pre_hook(at_input)
    with torch.no_grad():
        plain = model._model(tokens).logits
    hook.remove()
    assert torch.equal(plain, model.run(tokens, edits=ADDITIVE.edits(place, AIMS)).logits)


def test_what_was_written_is_read(llama: LanguageModel, tokens: Tensor, tmp_path: Path) -> None:
    place = Placed(small_sae(), (SITE,))
    export_vectors(tmp_path, llama, ADDITIVE, place, AIMS)
    ((site, direction),) = read_vectors(tmp_path).items()
    assert (site, direction.name) == (SITE, "2max latent 3 + -1raw latent 7")
    again = ADDITIVE.edits(site, [Aim(direction, Strength(1.0, "raw"))])
    assert torch.equal(llama.run(tokens, edits=again).logits, llama.run(tokens, edits=ADDITIVE.edits(place, AIMS)).logits)
    facts = json.loads((tmp_path / "steering_vector.json").read_text())
    assert facts["model"] == {"name": "tiny-llama", "content_hash": llama.content_hash()}
    assert facts["made_of"][0] == {"of": "latent 3", "latent": 3, "strength": "2max", "maximum": 1.5, "mean_norm": None}


def test_what_is_no_vector_is_not_exported(llama: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only additive is exported"):
        export_vectors(tmp_path, llama, STEERING.get("clamp")(), Placed(small_sae(), (SITE,)), AIMS)
    with pytest.raises(SiteError, match="inside of a block"):
        export_vectors(tmp_path, llama, ADDITIVE, Placed(small_sae(), (Site("mlp_out", 1),)), AIMS)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_told_as_such(llama: LanguageModel, tmp_path: Path) -> None:
    export_vectors(tmp_path, llama, ADDITIVE, Placed(small_sae(), (SITE,)), AIMS)
    text = (tmp_path / "steering_vector.json").read_text()
    for broken in ("[]", "{", re.sub(r'"format": 1', '"format": 2', text), text.replace("resid_post.1", "nowhere")):
        (tmp_path / "steering_vector.json").write_text(broken)
        with pytest.raises(ArtifactDamagedError, match="holds no steering vector"):
            read_vectors(tmp_path)
