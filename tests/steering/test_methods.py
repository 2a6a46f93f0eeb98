"""Every method is its formula on a tensor, in a forward and token by token."""

import pytest
import torch
from tests.steering.conftest import SITE, small_sae
from torch import Tensor

from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import Edit, EditContext, LanguageModel, Site
from monoseme.saes import SAE
from monoseme.splice import Placed
from monoseme.steering import STEERING, Aim, Direction, LatentFacts, SteeringMethod, Strength

A, B = 3, 9
"""The latents steered with."""
WITH_SAE = [name for name in STEERING.names() if name != "prompt"]


def context(n: int, length: int) -> EditContext:
    return EditContext(
        tokens=torch.full((n, length), 5),
        mask=torch.ones(n, length, dtype=torch.bool),
        positions=torch.arange(length).expand(n, -1),
        row=torch.arange(n),
        is_prompt=torch.ones(n, length, dtype=torch.bool),
        state=tuple({} for _ in range(n)),
    )


@pytest.fixture
def sae() -> SAE:
    return small_sae()


@pytest.fixture
def x() -> Tensor:
    """[n=1, S=300, D=20]: enough rows for both latents to fire in some."""
    return 3 * torch.randn(1, 300, 20, generator=torch.Generator().manual_seed(0)) + 1


def made(name: str, *amounts: tuple[int, float], sae: SAE, error_term: bool = True) -> list[Edit]:
    method = STEERING.get(name)
    config = method.Config(error_term=error_term) if method.needs_sae else method.Config()
    return method(config).edits(Placed(sae, (SITE,)), [Aim(i, Strength(c, "raw")) for i, c in amounts])


def after(name: str, x: Tensor, *amounts: tuple[int, float], sae: SAE, error_term: bool = True) -> Tensor:
    (edit,) = made(name, *amounts, sae=sae, error_term=error_term)
    before = x.clone()
    out = edit(x, context(*x.shape[:2]))
    assert torch.equal(x, before)  # edits never write into what they are given
    return out


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)  # float32 sums of 20 terms of order 10


def writes(sae: SAE, latent: int) -> Tensor:
    return sae.W_dec[latent]


def test_addition(sae: SAE, x: Tensor) -> None:
    close(after("additive", x, (A, 2.5), (B, -1.0), sae=sae), x + 2.5 * writes(sae, A) - writes(sae, B))


def _by_hand(sae: SAE, x: Tensor, new: Tensor, latent: int) -> Tensor:
    """x + (new - f) w."""
    return x + (new - sae.encode(x).dense()[..., latent]).unsqueeze(-1) * writes(sae, latent)


def test_values_of_latents(sae: SAE, x: Tensor) -> None:
    f = sae.encode(x).dense()[..., A]
    fires = f > 0
    assert 5 < fires.sum() < 295
    cut = float(f[fires].median())
    cases = {
        "clamp": torch.full_like(f, cut),
        "min_clamp": f.clamp_min(cut),
        "negative_clamp": torch.where(fires, torch.tensor(-cut), f),
        "code_add": f + cut,
    }
    for name, new in cases.items():
        close(after(name, x, (A, cut), sae=sae), _by_hand(sae, x, new, A))
    close(after("negative_clamp", x, (A, 0.0), sae=sae), _by_hand(sae, x, torch.zeros_like(f), A))
    close(after("code_add", x, (A, cut), sae=sae), after("additive", x, (A, cut), sae=sae))


def test_rows_in_which_nothing_changes_keep_every_bit(sae: SAE, x: Tensor) -> None:
    silent = ~(sae.encode(x).dense()[..., A] > 0)
    for name in ("negative_clamp", "min_clamp"):
        strength = 4.0 if name == "negative_clamp" else 0.0
        out = after(name, x, (A, strength), sae=sae)
        assert torch.equal(out[silent], x[silent])
    assert torch.equal(after("min_clamp", x, (A, -1.0), sae=sae), x)


def test_without_the_error_term_the_model_goes_on_with_the_changed_reconstruction(sae: SAE, x: Tensor) -> None:
    codes = sae.encode(x)
    dense = codes.dense()
    dense[..., A] = 4.0
    close(after("clamp", x, (A, 4.0), sae=sae, error_term=False), sae.decode(codes.with_all(dense)))


def test_latents_of_one_sae_are_changed_in_one_encode(sae: SAE, x: Tensor) -> None:
    f = sae.encode(x).dense()
    wanted = x + (4 - f[..., [A]]) * writes(sae, A) + (2 - f[..., [B]]) * writes(sae, B)
    close(after("clamp", x, (B, 2.0), (A, 4.0), sae=sae), wanted)


def test_a_latent_bias_is_added_before_latents_are_chosen(sae: SAE, x: Tensor) -> None:
    pre = (sae.input_factor * x - sae.b_dec) @ sae.W_enc + sae.b_enc
    pre[..., A] += 6.0 * sae.input_factor
    top = pre.topk(5, dim=-1)
    code = torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu()) / sae.input_factor
    x_hat = code @ sae.W_dec + sae.b_dec / sae.input_factor
    close(after("h_bias", x, (A, 6.0), sae=sae, error_term=False), x_hat)
    close(after("h_bias", x, (A, 6.0), sae=sae), x + x_hat - sae(x))
    assert not torch.allclose(x_hat, after("code_add", x, (A, 6.0), sae=sae, error_term=False), atol=1e-2)
    assert torch.equal(after("h_bias", x, (A, 0.0), sae=sae), x)
    close(after("h_bias", x, (A, 1e-9), sae=sae), x)  # too little to choose otherwise


def test_orthogonal_decomposition(sae: SAE, x: Tensor) -> None:
    v = writes(sae, A) / writes(sae, A).norm()
    projector = torch.outer(v, v)
    wanted = x @ (torch.eye(20) - projector) + 2.5 * x @ projector
    close(after("orthogonal", x, (A, 2.5), sae=sae), wanted)
    close(after("orthogonal", x, (A, 0.0), sae=sae) @ v, torch.zeros(1, 300))
    close(after("orthogonal", x, (A, 1.0), sae=sae), x)


def test_a_projection_is_capped(sae: SAE, x: Tensor) -> None:
    w = writes(sae, A)
    v, length = w / w.norm(), 0.7 * float(w.norm())
    out = after("projection_cap", x, (A, 0.7), sae=sae)
    below = x @ v <= length
    assert 5 < below.sum() < 295
    assert torch.equal(out[below], x[below])
    close((out @ v)[~below], torch.full_like((out @ v)[~below], length))
    close(out - (out @ v).unsqueeze(-1) * v, x - (x @ v).unsqueeze(-1) * v)


def test_a_cap_is_a_multiple_of_the_directions_own_length(x: Tensor) -> None:
    longer = torch.zeros(20).index_fill(0, torch.tensor([4]), 3.0)
    (edit,) = STEERING.get("projection_cap")().edits(SITE, [Aim(Direction(longer, "three long"), Strength(0.5, "raw"))])
    close(edit(x, context(1, 300))[..., 4], x[..., 4].clamp_max(1.5))


def test_one_direction_is_swapped_for_another(sae: SAE, x: Tensor) -> None:
    a, b = (writes(sae, i) / writes(sae, i).norm() for i in (A, B))
    p = (x @ a).unsqueeze(-1)
    close(after("swap", x, (A, 1.0), (B, 1.0), sae=sae), x - p * a + p * b)
    close(after("swap", x, (A, 0.5), (B, 2.0), sae=sae), x - 0.5 * p * a + 2 * p * b)
    with pytest.raises(ConfigError, match="pairs"):
        made("swap", (A, 1.0), sae=sae)


def test_a_prompt_says_it_in_words() -> None:
    method = STEERING.get("prompt")
    said = method(method.Config(instruction="Speak of cats. "))
    assert said.prompted("Once") == "Speak of cats. Once"
    assert said.edits(SITE, []) == []
    with pytest.raises(ConfigError, match="leave out"):
        said.edits(SITE, [Aim(Direction(torch.ones(20), "ones"), Strength(1.0))])
    with pytest.raises(ConfigError, match="nothing to say"):
        method().edits(SITE, [])


@pytest.mark.parametrize("name", WITH_SAE)
def test_half_precision_models_are_steered_in_float32(sae: SAE, x: Tensor, name: str) -> None:
    amounts = ((A, 2.0), (B, 2.0)) if name == "swap" else ((A, 2.0),)
    half = x.to(torch.bfloat16)
    out = after(name, half, *amounts, sae=sae)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, after(name, half.float(), *amounts, sae=sae).to(torch.bfloat16))


def test_directions_stand_in_for_latents(sae: SAE, x: Tensor) -> None:
    direction = Direction(writes(sae, A).clone(), "as written")
    for name in ("additive", "orthogonal", "projection_cap"):
        (edit,) = STEERING.get(name)().edits(SITE, [Aim(direction, Strength(2.0, "raw"))])
        close(edit(x, context(1, 300)), after(name, x, (A, 2.0), sae=sae))
    for name in ("clamp", "h_bias"):
        with pytest.raises(ConfigError, match="--sae"):
            STEERING.get(name)().edits(SITE, [Aim(direction, Strength(2.0, "raw"))])
        with pytest.raises(ConfigError, match="direction has none"):
            STEERING.get(name)().edits(Placed(sae, (SITE,)), [Aim(direction, Strength(2.0, "raw"))])


def test_strengths_are_worked_out_from_facts(sae: SAE, x: Tensor) -> None:
    facts = LatentFacts(maximum=8.0, mean_norm=10.0)
    place = Placed(sae, (SITE,))

    def moved(method: str, strength: str) -> Tensor:
        (edit,) = STEERING.get(method)().edits(place, [Aim(A, Strength.parse(strength), facts)])
        return edit(x, context(1, 300))

    close(moved("additive", "0.5max"), x + 4.0 * writes(sae, A))
    pushed = moved("additive", "0.5norm") - x
    torch.testing.assert_close(pushed.norm(dim=-1), torch.full((1, 300), 5.0), atol=1e-4, rtol=0)
    close(moved("clamp", "0.5max"), after("clamp", x, (A, 4.0), sae=sae))
    close(moved("clamp", "0.5norm"), after("clamp", x, (A, 5.0 / float(writes(sae, A).norm())), sae=sae))


@pytest.mark.parametrize("name", WITH_SAE)
def test_what_does_not_fit_is_refused(name: str, sae: SAE, x: Tensor) -> None:
    method: SteeringMethod = STEERING.get(name)()
    place = Placed(sae, (SITE,))
    pair = [Aim(B, Strength(1.0, "raw"))]
    with pytest.raises(ConfigError, match="no latent 99"):
        method.edits(place, [*pair, Aim(99, Strength(1.0, "raw"))])
    with pytest.raises(ConfigError, match="nothing to steer with"):
        method.edits(place, [])
    with pytest.raises(ConfigError, match=r"largest activation|Allowed units: raw"):
        method.edits(place, [*pair, Aim(A, Strength(1.0, "max"))])
    with pytest.raises(SiteError, match=r"nothing is steered at mlp_out\.2"):
        method.edits(place, [*pair, Aim(A, Strength(1.0, "raw"))], sites=[Site("mlp_out", 2)])
    *_, edit = method.edits(place, [*pair, Aim(A, Strength(1.0, "raw"))])
    with pytest.raises(SiteError, match="D=7"):
        edit(x[..., :7], context(1, 300))


def test_edits_are_made_for_sites_and_models(llama: LanguageModel, sae: SAE, tokens: Tensor) -> None:
    """Several SAEs at several sites: the edits of one after those of the other."""
    other = Site("mlp_out", 0)
    first = STEERING.get("additive")().edits(Placed(sae, (other,)), [Aim(B, Strength(1.5, "raw"))])
    both = [*first, *made("additive", (A, 2.0), sae=sae)]
    x = llama.capture(tokens, [other, SITE])
    out = llama.capture(tokens, [other], edits=both)[other]
    close((out - x[other])[:, 1:], (1.5 * writes(sae, B)).expand(2, 10, -1))
    assert not torch.allclose(llama.run(tokens, edits=both).logits, llama.run(tokens, edits=first).logits)
