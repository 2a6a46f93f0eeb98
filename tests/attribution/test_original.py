"""Golden attributions of sae-spelling's own code, on its toy model in our interface.

The toy: embed (point "mid"), add tanh(causal mean over positions times A) (point "late"), logits = tanh(half of it) times U. Here
it is a model of one block: mid is resid_pre.0, late is resid_post.0.
"""

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from monoseme.attribution import (
    Batching,
    Corrupted,
    LogitMetric,
    Patch,
    Path,
    Readout,
    gradient_times_activation,
    integrated_gradients,
)
from monoseme.models import EditContext, FunctionEdit, LanguageModel, Site
from monoseme.saes import SAE, Codes
from monoseme.splice import run_with_saes
from monoseme.testing.models import tiny_tokenizer

MID, LATE = Site("resid_pre", 0), Site("resid_post", 0)
EVERY = torch.ones(1, 7, dtype=torch.bool)
WHOLE = Batching(share_prefix=False)  # the toy keeps no keys and values


class _Block(nn.Module):
    def __init__(self, a: Tensor) -> None:
        super().__init__()
        self.a = nn.Parameter(a)

    def forward(self, x: Tensor) -> Tensor:
        count = torch.arange(1, x.shape[1] + 1, dtype=x.dtype)
        return x + torch.tanh(x.cumsum(1) / count[:, None] @ self.a)


class _HalfTanh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 2)


class _Toy(PreTrainedModel):
    config_class = PreTrainedConfig

    def __init__(self, golden: Mapping[str, Tensor]) -> None:
        config = PreTrainedConfig(
            hidden_size=12, vocab_size=11, num_hidden_layers=1, num_attention_heads=1, bos_token_id=None, eos_token_id=None
        )
        super().__init__(config)
        self.embed = nn.Embedding.from_pretrained(golden["ig.E"])
        self.blocks = nn.ModuleList([_Block(golden["ig.A"])])
        self.norm = _HalfTanh()
        self.head = nn.Linear(12, 11, bias=False)
        self.head.weight = nn.Parameter(golden["ig.U"].T.contiguous())

    def get_input_embeddings(self) -> Any:
        return self.embed

    def get_output_embeddings(self) -> Any:
        return self.head

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> CausalLMOutput:
        x = self.embed(input_ids)
        for block in self.blocks:
            x = block(x)
        return CausalLMOutput(logits=self.head(self.norm(x)))


class _ToySAE(nn.Module):
    learns_from = reads = "tokens"
    codes_per_site = False
    d_in, n_latents = 12, 30
    roles = SAE.roles
    encode_contexts = SAE.encode_contexts

    def __init__(self, golden: Mapping[str, Tensor], where: str) -> None:
        super().__init__()
        for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
            self.register_buffer(name, golden[f"{where}.{name}"])

    def encode(self, x: Tensor, state: Any = None) -> Codes:
        return Codes({"all": ((x - self.b_dec) @ self.W_enc + self.b_enc).relu()})

    def decode(self, codes: Codes) -> Tensor:
        return codes.dense() @ self.W_dec + self.b_dec


@pytest.fixture(scope="module")
def golden(shared: FilePath) -> dict[str, Tensor]:
    """The file's tensors."""
    return load_file(shared / "vectors" / "sae_spelling.safetensors")


@pytest.fixture(scope="module")
def toy(golden: dict[str, Tensor]) -> LanguageModel:
    """The toy model."""
    return LanguageModel.from_modules(_Toy(golden), tiny_tokenizer(), name="toy")


@pytest.fixture
def readout(golden: dict[str, Tensor]) -> Readout:
    """m = tanh(0.2 logits . w) at the last position."""
    weights = golden["ig.metric_weights"]
    return Readout(golden["ig.tokens"], torch.tensor([6]), LogitMetric(lambda logits: torch.tanh(0.2 * (logits @ weights))))


def _only(*positions: int) -> Tensor:
    mask = torch.zeros(1, 7, dtype=torch.bool)
    mask[0, list(positions)] = True
    return mask


def test_logits_and_metric(golden: dict[str, Tensor], toy: LanguageModel, readout: Readout) -> None:
    sae = _ToySAE(golden, "ig.sae")
    logits = toy.run(readout.tokens).logits
    torch.testing.assert_close(logits, golden["ig.logits"])
    torch.testing.assert_close(readout.metric(logits[:, -1]), golden["ig.metric"])
    spliced = run_with_saes(toy, readout.tokens, {MID: sae}, error_term=False, mask=EVERY)
    torch.testing.assert_close(spliced.logits, golden["ig.logits_spliced_no_error"])


_PATCHES = {
    "ablate_all_steps10": (EVERY, 10, None),
    "ablate_pos-2_steps6": (_only(5), 6, None),
    "corrupt_all_steps10": (EVERY, 10, {}),
    "corrupt_pair_3_5_steps4": (_only(3), 4, {3: 5}),
}


@pytest.mark.parametrize("name", _PATCHES)
def test_integrated_gradients(golden: dict[str, Tensor], toy: LanguageModel, readout: Readout, name: str) -> None:
    """All positions get scores, as in the original.

    Differs: where another position of the corrupted prompt takes a place, the original goes the way to that one but multiplies
    with the difference to its own place; here both are the one asked for.
    """
    moved, n_steps, elsewhere = _PATCHES[name]
    corrupted = None
    if elsewhere is not None:
        position = torch.arange(7)[None].clone()
        for here, there in elsewhere.items():
            position[0, here] = there
        corrupted = Corrupted(tokens=golden["ig.corrupted_tokens"], position=position)
    sae = _ToySAE(golden, "ig.sae")
    patch, path = Patch(at=moved, scored=EVERY, corrupted=corrupted), Path(n_steps=n_steps, rule="left")
    found = integrated_gradients(toy, readout, {MID: sae}, patch=patch, path=path, batching=WHOLE)[MID]
    torch.testing.assert_close(found.codes.to_dense(), golden[f"ig.{name}.clean_acts"][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.gradient, golden[f"ig.{name}.mean_error_grads"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.gradient @ sae.W_dec.T, golden[f"ig.{name}.mean_grads"], atol=1e-5, rtol=1e-5)
    expected = golden[f"ig.{name}.attributions"][0]
    if elsewhere == {3: 5}:
        delta = golden[f"ig.{name}.corrupted_acts"][0, 5] - golden[f"ig.{name}.clean_acts"][0, 3]
        expected = torch.cat([expected[:3], (golden[f"ig.{name}.mean_grads"][3] * delta)[None], expected[4:]])
    torch.testing.assert_close(found.scores.to_dense(), expected, atol=1e-5, rtol=1e-5)


def test_gradient_times_activation(golden: dict[str, Tensor], toy: LanguageModel, readout: Readout) -> None:
    sae = _ToySAE(golden, "ig.sae")
    found = gradient_times_activation(toy, readout, {MID: sae}, at=EVERY, batching=WHOLE)[MID]
    torch.testing.assert_close(found.codes.to_dense(), golden["grad_attr.acts"][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.gradient, golden["grad_attr.error_grads"][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.gradient @ sae.W_dec.T, golden["grad_attr.grads"][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.scores.to_dense(), golden["grad_attr.features"][0], atol=1e-5, rtol=1e-5)


def test_gradients_with_two_saes(golden: dict[str, Tensor], toy: LanguageModel, readout: Readout) -> None:
    saes = {MID: _ToySAE(golden, "ig.sae"), LATE: _ToySAE(golden, "two.sae_late")}
    found = gradient_times_activation(toy, readout, saes, at=EVERY, batching=WHOLE)
    run = run_with_saes(toy, readout.tokens, saes, grad=True, mask=EVERY)
    gradients = torch.autograd.grad(readout.metric(run.logits[:, -1]).sum(), [run.at[site].codes for site in saes])
    for (site, name), gradient in zip({MID: "mid", LATE: "late"}.items(), gradients, strict=True):
        torch.testing.assert_close(run.at[site].codes, golden[f"two.acts.{name}"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(gradient, golden[f"two.grads.{name}"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[site].scores.to_dense(), golden[f"two.grad_attr.{name}"][0], atol=1e-5, rtol=1e-5)


def test_integrated_gradients_beside_another_sae(golden: dict[str, Tensor], toy: LanguageModel, readout: Readout) -> None:
    """The original runs a later SAE without its error term, and gradients pass straight through it; an earlier one has no say, as
    what is patched starts from the clean run.
    """
    saes = {MID: _ToySAE(golden, "ig.sae"), LATE: _ToySAE(golden, "two.sae_late")}
    names, path = {MID: "mid", LATE: "late"}, Path(n_steps=6, rule="left")
    patch = Patch(at=_only(5), scored=EVERY)
    for site, beside in ((MID, [FunctionEdit(LATE, _straight_through(saes[LATE]))]), (LATE, [])):
        found = integrated_gradients(toy, readout, {site: saes[site]}, patch=patch, path=path, batching=WHOLE, edits=beside)
        expected = golden[f"two.ig_ablate_pos-2_steps6.{names[site]}"][0]
        torch.testing.assert_close(found[site].scores.to_dense(), expected, atol=1e-5, rtol=1e-5)


def _straight_through(sae: Any) -> Any:
    def edit(x: Tensor, _context: EditContext) -> Tensor:
        return x + (sae.decode(sae.encode(x)) - x).detach()

    return edit
