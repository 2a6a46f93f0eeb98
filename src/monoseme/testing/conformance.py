"""The battery that every SAE architecture must pass, third-party ones included.

    from monoseme.testing import check_sae
    from my_package.my_architecture import MySAE

    def test_my_sae() -> None:
        check_sae(MySAE)

Register the class as an entry point of the group `monoseme.saes` first: saving and loading go by its name. Each fact is a
function of a `Subject` whose name states it; a failure names the fact. Sizes are different primes, so that a transposed axis
fails. To run one fact per test, parametrise over `SAE_CHECKS`.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.autograd.gradcheck import GradcheckError
from torch.func import functional_call

from monoseme.core.errors import ConfigError, TrainingError
from monoseme.core.seeds import generator
from monoseme.saes import NormaliseConfig, config_from_dict, config_to_dict, load_sae, save_sae
from monoseme.saes._auxk import AuxKConfig
from monoseme.saes._base import SAE
from monoseme.saes._codes import Losses
from monoseme.tensors.shapes import Tensor
from monoseme.testing.planted import fit, planted_dictionary, recovery
from monoseme.testing.subject import ConformanceError, Subject, subject_of

_KINDS: tuple[dict[str, Any], ...] = (
    {"kind": "none"},
    {"kind": "unit_mean_square"},
    {"kind": "inverse_mean_norm"},
    {"kind": "constant", "constant": 0.37},
    {"kind": "standardise", "eps": 1e-3},
    {"kind": "vector_norm"},
)


Check = Callable[[Subject], None]


def check_sae(architecture: type[SAE], **settings: Any) -> None:
    """Runs every check on `architecture`; `settings` are those of `subject_of`.

    Raises ConformanceError that lists each broken fact with what was found.
    """
    subject = subject_of(architecture, **settings)
    broken: list[str] = []
    for check in SAE_CHECKS:
        try:
            check(subject)
        except ConformanceError as error:
            broken.append(f"{check.__name__}: {error}")
    if broken:
        raise ConformanceError(f"{architecture.__name__} breaks {len(broken)} facts\n  " + "\n  ".join(broken))


def _require(fact: bool, message: str) -> None:
    if not fact:
        raise ConformanceError(message)


def _learns(sae: SAE) -> bool:
    """Whether any part of the loss moves any parameter; a baseline's moves none."""
    return any(sae.moves.values())


def _same(left: dict[str, Tensor], right: dict[str, Tensor]) -> list[str]:
    """Names of the tensors that are not the same bits."""
    return [n for n in left.keys() | right.keys() if n not in left or n not in right or not torch.equal(left[n], right[n])]


def _step(sae: SAE, x: Tensor, *, lr: float = 1e-2) -> Losses:
    """One step of plain gradient descent, as the trainer makes it; without a gradient only the counting is left."""
    losses = sae.loss(x)
    sae.zero_grad()
    if _learns(sae):
        losses.total.backward()
        sae.project_gradients()
    with torch.no_grad():
        for parameter in sae.parameters():
            if parameter.grad is not None:
                parameter -= lr * parameter.grad
    sae.after_step(losses)
    return losses


def codes_and_reconstructions_have_the_shape_of_the_input(subject: Subject) -> None:
    """[*, D] gives codes [*, F] in each part, and [*, D_out]; for a batch of any size, none at all included.

    With a site axis: [*, L, D] gives [*, F] or, where `codes_per_site`, [*, L, F], and [*, L_out, D].
    """
    sae = subject.build()
    for n in (5, 1, 0):
        x = subject.reading(n)
        codes = sae.encode(x)
        _require(tuple(codes.parts) == sae.parts, f"encode gives parts {tuple(codes.parts)}, the SAE declares {sae.parts}")
        between = x.shape[:-1] if sae.codes_per_site or sae.reads != "layers" else x.shape[:-2]
        for name in sae.parts:
            shape, wanted = tuple(codes.dense(name).shape), (*between, sae.n_latents)
            _require(shape == wanted, f"part {name} of {tuple(x.shape)} is {shape}, not {wanted}")
        outputs = (len(sae.roles(subject.n_sites).outputs),) if sae.reads == "layers" else ()
        lead = x.shape[:-2] if sae.reads == "layers" else x.shape[:-1]
        shape, wanted = tuple(sae.decode(codes).shape), (*lead, *outputs, sae.d_out)
        _require(shape == wanted, f"decode gives {shape}, not {wanted}")


def losses_add_up_to_the_total(subject: Subject) -> None:
    """Parts are 0-d, finite, named as in `moves`, and sum to the total; x_hat and x are raw rows."""
    sae = subject.build()
    losses = sae.loss(subject.batch(5, sae.learns_from))
    _require(set(losses.parts) == set(sae.moves), f"loss has parts {sorted(losses.parts)}, moves names {sorted(sae.moves)}")
    for name, part in losses.parts.items():
        _require(part.ndim == 0 and bool(part.isfinite()), f"part {name} is {part}, not one finite number")
    total = sum(part.item() for part in losses.parts.values())
    _require(abs(total - losses.total.item()) <= 1e-5 * abs(total), f"parts sum to {total}, total is {losses.total.item()}")
    n_outputs = len(sae.roles(subject.n_sites).outputs)
    wanted = (losses.n_rows, n_outputs * sae.d_out)
    _require(losses.x_hat.shape == wanted == losses.x.shape, f"x_hat is {tuple(losses.x_hat.shape)}, x {tuple(losses.x.shape)}")
    named = [name for name, value in losses.logs.items() if value.ndim or value.requires_grad]
    _require(not named, f"logs {named} are not detached single numbers")


def masked_rows_do_not_count(subject: Subject) -> None:
    """The loss with a mask is the loss of what is left: of rows, or of the contexts cut where their mask ends."""
    sae = subject.build()
    if sae.learns_from not in ("tokens", "contexts"):
        return
    x = subject.batch(5, sae.learns_from)
    keep = torch.tensor([True, False, True, True, False])
    if sae.learns_from == "tokens":
        mask, kept = keep, x[keep]
    else:
        mask, kept = torch.ones(x.shape[:2], dtype=torch.bool), x[:, :-1]
        mask[:, -1] = False
    spoilt = torch.where(mask.unsqueeze(-1), x, torch.nan)
    left, right = sae.loss(spoilt, mask=mask).total.item(), sae.loss(kept).total.item()
    _require(abs(left - right) <= 1e-5 * abs(right), f"{left} with rows masked, {right} without them")


def same_seed_gives_the_same_bits(subject: Subject) -> None:
    """Start, codes and gradients repeat bit for bit; another seed gives other weights, where something is learned."""
    first, second, other = subject.build(), subject.build(), subject.build(seed=subject.small.seed + 1)
    _require(not _same(first.state_dict(), second.state_dict()), "two SAEs of one config start with different weights")
    _require(bool(_same(first.state_dict(), other.state_dict())) or not _learns(first), "the seed does not change the weights")
    x = subject.batch(5, first.learns_from)
    for _ in range(2):
        _step(first, x)
        _step(second, x)
    differ = _same(first.state_dict(), second.state_dict())
    _require(not differ, f"after two equal steps {', '.join(differ)} differ")


def saved_and_loaded_it_is_bitwise_the_same(subject: Subject) -> None:
    """Config, weights, buffers and memory layout survive; so does a second start from the loaded one."""
    sae = subject.build()
    _step(sae, subject.batch(5, sae.learns_from))
    config = config_from_dict(config_to_dict(sae.config))
    _require(config == sae.config, f"the config comes back from its plain form as {config}")
    with tempfile.TemporaryDirectory() as folder:
        save_sae(sae, Path(folder) / "sae", extra_config={"site": "resid_post.1"})
        loaded = load_sae(Path(folder) / "sae")
    differ = _same(sae.state_dict(), loaded.state_dict())
    _require(type(loaded) is type(sae) and not differ, f"{type(loaded).__name__} comes back with other {', '.join(differ)}")
    _require(loaded.provenance == {"site": "resid_post.1"}, f"provenance comes back as {loaded.provenance}")
    strides = {name: parameter.stride() for name, parameter in sae.named_parameters()}
    moved = [name for name, parameter in loaded.named_parameters() if parameter.stride() != strides[name]]
    _require(not moved, f"{', '.join(moved)} come back in another memory layout")
    x = subject.reading(5)
    _require(torch.equal(sae(x), loaded(x)), "the loaded SAE reconstructs other bits")


class _Part(torch.nn.Module):
    """One part of the loss as a module's forward, so that `functional_call` can replace the parameters."""

    def __init__(self, sae: SAE, name: str) -> None:
        super().__init__()
        self.sae = sae
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return self.sae.loss(x).parts[self.name]


def gradients_match_finite_differences(subject: Subject) -> None:
    """Of each part of the loss that is not `detached`, and of the forward with respect to x, in float64."""
    sae = subject.build().double()
    x = subject.batch(3, sae.learns_from).double()
    parameters = {f"sae.{name}": p.detach().clone().requires_grad_() for name, p in sae.named_parameters()}
    for name in {name for name, moved in sae.moves.items() if moved} - sae.detached:
        part = _Part(sae, name)

        def value(*tensors: Tensor, part: _Part = part) -> Tensor:
            return functional_call(part, dict(zip(parameters, tensors, strict=True)), (x,))

        _gradcheck(value, tuple(parameters.values()), f"part {name}")
    raw = subject.reading(3).double().requires_grad_()
    _gradcheck(sae, (raw,), "forward")


def _gradcheck(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], what: str) -> None:
    try:
        torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-6, rtol=1e-4, fast_mode=True)
    except GradcheckError as error:
        raise ConformanceError(f"{what}: {error}") from error


def every_loss_moves_what_it_should_and_nothing_else(subject: Subject) -> None:
    """With dead latents present, each part has a gradient other than zero for exactly the parameters that `moves` names."""
    sae = subject.build()
    if isinstance(subject.small, AuxKConfig) and "auxk" in sae.moves:
        sae = subject.build(auxk_one_in=1)  # one row of three may have nothing positive for the dead to give
    x = subject.batch(3, sae.learns_from)
    if _learns(sae):
        _kill_silent_latents(sae, x)
    for name, part in sae.loss(x).parts.items():
        sae.zero_grad()
        if part.requires_grad:
            part.backward(retain_graph=True)
        moved = frozenset(n for n, p in sae.named_parameters() if p.grad is not None and bool(p.grad.any()))
        _require(moved == sae.moves[name], f"{name} moves {sorted(moved)}, declared are {sorted(sae.moves[name])}")


def _kill_silent_latents(sae: SAE, x: Tensor) -> None:
    """Makes every latent that does not fire on x count as dead."""
    active = sae.loss(x).active
    _require(active is not None, "losses carry no active codes, so dead latents cannot be followed")
    if active is not None:
        silent = (active.to_dense().reshape(-1, *sae.tokens_since_fired.shape) == 0).all(0)
        _require(bool(silent.any()), "no latent is silent on 3 rows; give a sparser small config")
        sae.tokens_since_fired[silent] = sae.config.dead_after_tokens


def auxk_is_zero_when_nothing_is_dead(subject: Subject) -> None:
    """Exactly zero, at the start and after a step; positive once silent latents count as dead (where there is an AuxK)."""
    sae = subject.build()
    if "auxk" not in sae.moves:
        return
    x = subject.batch(3, sae.learns_from)
    for _ in range(2):
        value = sae.loss(x).parts["auxk"].item()
        _require(value == 0.0, f"auxk is {value} with no dead latent")
        _step(sae, x)
    _kill_silent_latents(sae, x)
    value = sae.loss(x).parts["auxk"].item()
    _require(value > 0.0, f"auxk is {value} with dead latents")


def tokens_without_firing_are_counted(subject: Subject) -> None:
    """after_step adds the tokens of every batch to silent latents' counts and resets those that fired.

    A token is a row of codes, or all the rows of its sites where they have codes of their own.
    """
    sae = subject.build()
    x = subject.batch(5, sae.learns_from)
    losses = sae.loss(x)
    before = sae.tokens_since_fired.clone()
    sae.after_step(losses, losses)
    active = losses.active
    if active is None:
        raise ConformanceError("losses carry no active codes, so dead latents cannot be followed")
    fired = (active.to_dense().reshape(-1, *sae.tokens_since_fired.shape) != 0).any(0)
    n_tokens = losses.n_rows if sae.codes_per_site else active.n_rows
    wanted = torch.where(fired, 0, before + 2 * n_tokens)
    _require(torch.equal(sae.tokens_since_fired, wanted), f"{sae.tokens_since_fired.tolist()}, not {wanted.tolist()}")


def decoder_rows_have_unit_norm_after_a_step(subject: Subject) -> None:
    """The parameters in `unit_norm`, to float32 rounding; and the projected gradient is orthogonal to them."""
    sae = subject.build()
    for part in ("first", "second"):
        _step(sae, subject.batch(5, sae.learns_from, part=part), lr=0.3)
        for name, parameter in zip(sae.unit_norm, sae.unit_norm_parameters(), strict=True):
            worst = (parameter.norm(dim=1) - 1).abs().max().item()
            _require(worst < 1e-6, f"a row of {name} has a norm {worst} away from 1")
    sae.zero_grad()
    if _learns(sae):
        sae.loss(subject.batch(5, sae.learns_from)).total.backward()
        sae.project_gradients()
    for name, parameter in zip(sae.unit_norm, sae.unit_norm_parameters(), strict=True):
        if parameter.grad is not None:
            along = (parameter.grad * parameter).sum(1).abs().max().item()
            _require(along <= 1e-5 * parameter.grad.abs().max().item(), f"the gradient of {name} keeps {along} along its rows")


def decode_is_affine_in_the_codes(subject: Subject) -> None:
    """decode(a + b) - decode(b) = decode(a) - decode(0): latents add up, as edits and attribution assume."""
    sae = subject.build().double()
    codes = sae.encode(subject.reading(5).double())
    a = codes.dense()
    b = torch.rand(a.shape, generator=generator(0, "codes"), dtype=torch.float64)

    def decoded(code: Tensor) -> Tensor:
        return sae.decode(codes.with_all(code))

    gap = (decoded(a + b) - decoded(b) - decoded(a) + decoded(torch.zeros_like(a))).abs().max().item()
    _require(gap < 1e-9, f"off by {gap}")
    dense_gap = (decoded(a) - sae.decode(codes)).abs().max().item()
    _require(dense_gap < 1e-9, f"dense and sparse codes decode {dense_gap} apart")


def rows_of_a_batch_do_not_depend_on_each_other(subject: Subject) -> None:
    """encode(x)[i] is encode(x[i:i+1]), for SAEs that read tokens: what a latent does in use is no matter of batching."""
    sae = subject.build()
    if sae.reads != "tokens":
        return
    sae.after_step(sae.loss(subject.batch(5, sae.learns_from)))
    sae = sae.double()
    x = subject.batch(5, "tokens").double()
    gap = (torch.cat([sae.encode(row).dense() for row in x.split(1)]) - sae.encode(x).dense()).abs().max().item()
    _require(gap < 1e-9, f"codes differ by {gap}")


def export_agrees_with_encode(subject: Subject) -> None:
    """For each input normalisation: same codes and reconstruction in float64, and raw activations go in unscaled if it folds.

    An architecture may refuse a normalisation (ConfigError), but not all of them.
    """
    taken = [kind for kind in _KINDS if _takes(subject, kind)]
    _require(bool(taken), "no input normalisation is allowed, not even none")
    for kind in taken:
        sae = subject.build(normalise=NormaliseConfig(**kind))
        _step(sae, subject.batch(5, sae.learns_from))
        sae = sae.double()
        exported = sae.export()
        x = subject.reading(5).double()
        code, wanted = exported.encode(x), sae.encode(x)
        scale = wanted.dense().abs().max().item()
        gap = (code.dense() - wanted.dense()).abs().max().item()
        _require(gap <= 1e-10 * (1 + scale), f"{kind}: exported codes differ by {gap} (largest code {scale})")
        gap = (exported.decode(code) - sae.decode(wanted)).abs().max().item()
        _require(gap < 1e-9, f"{kind}: exported reconstruction differs by {gap}")
        _require(exported.unit == sae.unit, f"{kind}: exported unit is {exported.unit}, was {sae.unit}")
        if sae.config.normalise.folds:
            _require(exported.config.normalise.kind == "none", f"{kind}: not folded but {exported.config.normalise}")
        again = exported.export().encode(x)
        _require(torch.equal(again.dense(), code.dense()), f"{kind}: exporting twice changes the codes")


def _takes(subject: Subject, kind: dict[str, Any]) -> bool:
    try:
        subject.build(normalise=NormaliseConfig(**kind))
    except ConfigError:
        return False
    return True


def loss_before_start_is_refused(subject: Subject) -> None:
    """A TrainingError: without a sample the loss has no scale."""
    sae = subject.architecture(subject.small)
    try:
        sae.loss(subject.batch(5, sae.learns_from))
    except TrainingError:
        return
    raise ConformanceError("loss before start() gives a number")


def loss_falls_and_planted_directions_are_found(subject: Subject) -> None:
    """On sums of about 4 of 64 directions in 32 dimensions with exponential sizes: cosine above 0.9 for `min_recovery`."""
    truth = planted_dictionary()
    sae = subject.architecture(subject.planted)
    if sae.learns_from != "tokens" or not _learns(sae):
        return
    # Half the steps on twice the rows find as many directions in half the time: at this size a step costs more than its rows.
    n_rows, n_batches = 512, 100
    x = truth.sample(n_rows * n_batches).split(n_rows)
    n_steps = subject.planted_steps if subject.min_recovery else 100
    totals = fit(sae, lambda step: x[step % n_batches], n_steps=n_steps, lr=subject.planted_lr)
    first, last = sum(totals[:5]) / 5, sum(totals[-5:]) / 5
    _require(last < 0.7 * first, f"the loss goes from {first:.3f} to {last:.3f}")
    found = recovery(truth.directions, sae.W_dec)
    _require(found >= (subject.min_recovery or 0.0), f"{found:.1%} of the planted directions are found")


SAE_CHECKS: Sequence[Check] = (
    codes_and_reconstructions_have_the_shape_of_the_input,
    losses_add_up_to_the_total,
    masked_rows_do_not_count,
    same_seed_gives_the_same_bits,
    saved_and_loaded_it_is_bitwise_the_same,
    gradients_match_finite_differences,
    every_loss_moves_what_it_should_and_nothing_else,
    auxk_is_zero_when_nothing_is_dead,
    tokens_without_firing_are_counted,
    decoder_rows_have_unit_norm_after_a_step,
    decode_is_affine_in_the_codes,
    rows_of_a_batch_do_not_depend_on_each_other,
    export_agrees_with_encode,
    loss_before_start_is_refused,
    loss_falls_and_planted_directions_are_found,
)
"""The battery, one fact each."""
