"""Checks and times the Triton kernels on a CUDA device, in a few minutes.

    pip install 'monoseme[gpu]'
    python benchmarks/gpu.py --json gpu.json

Checked, against float64 and dense autograd: what each selector chooses and its values, gradients, the update by rows, that the
same input gives the same bits; float32, bfloat16 and float16. Timed, in milliseconds (median; the second-level cache is warm, as
it is within a step): each kernel, what bounds it (a bfloat16 product at cuBLAS's rate, fused Adam at the memory's), and whole
training steps of a TopK SAE with the triton, torch and reference kernels. Sizes A (512 to 8,192 latents, k 32, 2,048 rows), B
(768 to 24,576) and large (2,304 to 65,536, k 64, 4,096 rows). Exits with 1 if a check fails, with 2 where there is no device.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from monoseme.benchmarks._data import synthetic_activations
from monoseme.core.errors import MonosemeError
from monoseme.kernels import AdamRule, Encoder, Kernels, counted, kernels_named, row_matrix
from monoseme.saes import build, config_from_dict
from monoseme.tensors.factored import FactoredGrad
from monoseme.tensors.sparse import SparseCodes
from monoseme.training import Job, TrainConfig
from monoseme.training.feed import Rows
from monoseme.training.learner import Learner


class Sizes(NamedTuple):
    """One size of SAE and batch."""

    name: str
    width: int
    n_latents: int
    k: int
    n_rows: int


_ALL = (Sizes("A", 512, 8192, 32, 2048), Sizes("B", 768, 24576, 32, 2048), Sizes("large", 2304, 65536, 64, 4096))
_TINY = (Sizes("tiny", 40, 150, 4, 3),)
_TYPES = (torch.float32, torch.bfloat16, torch.float16)
_RULE = AdamRule(1e-4, 0.9, 0.999, 1e-8, 3, 0.0, False)


class Case(NamedTuple):
    """One size in one type, on the device."""

    sizes: Sizes
    x: torch.Tensor
    encoder: Encoder
    decoder: torch.Tensor

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.sizes.name} {str(self.x.dtype).removeprefix('torch.')}"


def make_case(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """Activations like a model's; unit latents."""
    random = torch.Generator().manual_seed(0)
    x = synthetic_activations(sizes.n_rows, sizes.width).to(device, dtype)
    latents = torch.nn.functional.normalize(torch.randn(sizes.n_latents, sizes.width, generator=random), dim=1)
    weight, decoder = (latents.to(device, dtype, copy=True).requires_grad_() for _ in range(2))
    bias = torch.zeros(sizes.n_latents, device=device, dtype=dtype, requires_grad=True)
    return Case(sizes, x, Encoder(weight.detach().t().requires_grad_(), bias, x.mean(0).requires_grad_()), decoder)


def choices(case: Case, kernels: Kernels) -> Iterator[tuple[str, SparseCodes]]:
    """What each selector chooses."""
    n_rows, k = case.x.shape[0], case.sizes.k
    limit = torch.tensor(3.0, device=case.x.device)
    yield "topk", kernels.encode_topk(case.x, case.encoder, k)
    yield "batch_topk", kernels.encode_batch_topk(case.x, case.encoder, k * n_rows)
    yield "threshold", kernels.encode_threshold(case.x, case.encoder, limit)


@torch.no_grad()
def exact(case: Case) -> torch.Tensor:
    """Pre-activations in float64, of the centred rows as they are rounded to the type of the weights."""
    weight, bias, centre = case.encoder
    assert centre is not None
    return (case.x - centre).to(weight.dtype).double() @ weight.double() + bias.double()


@torch.no_grad()
def check_choices(case: Case, kernels: Kernels) -> dict[str, bool]:
    """Exact but for near ties: nothing left out beats what was chosen by more than float32 rounds."""
    pre, checks = exact(case), {}
    slack = 1e-5 * float(pre.abs().max())
    rounding = slack + float(pre.abs().max()) * torch.finfo(case.x.dtype).eps
    for name, codes in choices(case, kernels):
        entries = codes.rows(), codes.indices.long()
        close = bool(((codes.values.double() - pre[entries]).abs() <= rounding).all())
        chosen = torch.zeros_like(pre, dtype=torch.bool)
        chosen[entries] = True
        least, most = (pre.where(chosen, torch.inf), pre.where(~chosen, -torch.inf))
        if name == "topk":
            right = bool((chosen.sum(1) == case.sizes.k).all()) and bool((least.amin(1) >= most.amax(1) - slack).all())
        elif name == "batch_topk":
            right = codes.nnz == case.sizes.k * case.x.shape[0] and bool(least.amin() >= most.amax() - slack)
        else:
            right = bool(least.amin() > 3.0 - slack) and bool(most.amax() <= 3.0 + slack)
        checks[f"{name} chooses right"], checks[f"{name} values"] = right, close
    return checks


def check_gradients(case: Case, kernels: Kernels) -> dict[str, bool]:
    """Against dense autograd in float64, at the entries that were chosen; and twice the same bits."""
    leaves = [*case.encoder, case.decoder]
    runs = []
    for _ in range(2):
        codes = kernels.encode_topk(case.x, case.encoder, case.sizes.k)
        x_hat = kernels.decode(codes, case.decoder, case.encoder.centre)
        runs.append((codes.values, x_hat, *torch.autograd.grad((x_hat - case.x).square().sum(), leaves)))
    same = all(torch.equal(first, second) for first, second in zip(*runs, strict=True))
    wide = [leaf.detach().double().requires_grad_() for leaf in leaves]
    pre = (case.x.double() - wide[2]) @ wide[0] + wide[1]
    entries = codes.rows(), codes.indices.long()
    values = torch.zeros_like(pre).index_put(entries, pre[entries])
    x_hat = values @ wide[3] + wide[2]
    wanted = torch.autograd.grad((x_hat - case.x.double()).square().sum(), wide)
    tolerance = 1e-5 if case.x.dtype == torch.float32 else 0.05
    close = all(
        bool((ours.double() - theirs).norm() <= tolerance * theirs.norm())
        for ours, theirs in zip(runs[0][2:], wanted, strict=True)
    )
    return {"gradients": close, "same bits twice": same}


@torch.no_grad()
def check_rows(case: Case, kernels: Kernels) -> dict[str, bool]:
    """One update from a factor against the update from the dense gradient by torch's own Adam."""
    assert kernels.rows is not None
    codes = kernels.encode_topk(case.x, case.encoder, case.sizes.k).detach()
    factor = FactoredGrad(codes, case.x)
    parameter = torch.nn.Parameter(case.decoder.detach().clone())
    parameter.grad = factor.dense()
    torch.optim.Adam([parameter], lr=_RULE.lr).step()
    weight = case.decoder.detach().clone()
    moments = torch.zeros_like(weight), torch.zeros_like(weight)
    kernels.rows.step(row_matrix(weight, moments, transposed=False, unit=False), factor, _RULE._replace(step=1), scale=1.0)
    # Where a gradient cancels to about eps, its rounding decides the step: in fewer than one weight of ten thousand.
    off = (weight - parameter).abs() > 2e-3 * _RULE.lr + 1e-5 * parameter.abs()
    return {"update by rows": float(off.double().mean()) < 1e-4}


def milliseconds(run: Callable[[], object], device: torch.device, *, repeats: int) -> float:
    """Median of runs after three to warm up; by events on the device, so that the host's launches overlap as in training."""
    for _ in range(3):
        run()
    taken: list[float] = []
    for _ in range(repeats):
        if device.type == "cuda":
            began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            began.record()
            run()
            ended.record()
            ended.synchronize()
            taken.append(began.elapsed_time(ended))
        else:
            start = time.perf_counter()
            run()
            taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken)


@torch.no_grad()
def parts(case: Case) -> dict[str, Callable[[], object]]:
    """What is timed by itself."""
    from monoseme.kernels._gpu_candidates import row_candidates
    from monoseme.kernels._gpu_choice import choose
    from monoseme.kernels._gpu_products import TritonProducts, entry_dots
    from monoseme.kernels._gpu_rounding import rounded
    from monoseme.kernels._gpu_screen import kept_per_tile, screen

    sizes, weight, bias, centre = case.sizes, *case.encoder
    assert centre is not None
    half = torch.bfloat16 if case.x.dtype == torch.float32 else case.x.dtype
    centred, latents, products = case.x - centre, weight.t(), TritonProducts()
    operands, zero = (rounded(centred, half), rounded(latents, half)), bias.float()
    kept, room = kept_per_tile(sizes.k, sizes.n_latents) or 8, 4 * sizes.k
    screened = screen(*operands, zero, zero, kept=kept)
    found = row_candidates(screened, sizes.k, max(32, room)).latents
    values = entry_dots(found.view(-1), centred, latents, per_row=found.shape[1]).view_as(found)
    triton, torch_set = kernels_named("triton"), kernels_named("torch")
    codes = triton.encode_topk(case.x, case.encoder, sizes.k).detach()
    return {
        "product in 16 bits (cuBLAS), the floor of encode": lambda: operands[0].rows @ operands[1].rows.t(),
        "round rows": lambda: rounded(centred, half),
        "round latents": lambda: rounded(latents, half),
        "screen": lambda: screen(*operands, zero, zero, kept=kept),
        "candidates": lambda: row_candidates(screened, sizes.k, found.shape[1]),
        "score candidates": lambda: entry_dots(found.view(-1), centred, latents, per_row=found.shape[1]),
        "choose": lambda: choose(found, values, sizes.k),
        "encode_topk": lambda: triton.encode_topk(case.x, case.encoder, sizes.k),
        "encode_topk (torch)": lambda: torch_set.encode_topk(case.x, case.encoder, sizes.k),
        "encode_batch_topk": lambda: triton.encode_batch_topk(case.x, case.encoder, sizes.k * sizes.n_rows),
        "encode_threshold": lambda: triton.encode_threshold(case.x, case.encoder, torch.tensor(3.0, device=case.x.device)),
        "decode": lambda: products.weighted_rows(codes, case.decoder),
        "dots": lambda: products.dots(codes, case.x, case.decoder),
        "order by latent": lambda: SparseCodes._by_latent(codes),
        "sums by latent": lambda: products.latent_sums(codes, case.x),
        **_updates(case, codes),
    }


def _updates(case: Case, codes: SparseCodes) -> dict[str, Callable[[], object]]:
    """The update by rows, and fused Adam over as many weights; float32 only."""
    rows = kernels_named("triton").rows
    if case.x.dtype != torch.float32 or rows is None:
        return {}
    parameter = torch.nn.Parameter(case.decoder.detach().clone())
    parameter.grad = torch.zeros_like(parameter)
    adam = torch.optim.Adam([parameter], lr=_RULE.lr, fused=True)
    weight = case.decoder.detach().clone()
    matrix = row_matrix(weight, (torch.zeros_like(weight), torch.zeros_like(weight)), transposed=False, unit=True)
    return {
        "update of one matrix by rows": lambda: rows.step(matrix, FactoredGrad(codes, case.x), _RULE, scale=1.0),
        "fused Adam over one matrix (torch), its floor": adam.step,
    }


def whole_step(case: Case, kernel: str) -> Callable[[], object]:
    """A training step of a TopK SAE, float32 weights."""
    sizes, device = case.sizes, case.x.device
    settings = {"architecture": "topk", "d_in": sizes.width, "n_latents": sizes.n_latents, "k": sizes.k}
    sae = build(config_from_dict(settings)).to(device)
    sae.use_kernels(kernel)
    sae.start(case.x)
    learner = Learner(Job("topk", sae, ()), TrainConfig(n_steps=30_000, batch_size=sizes.n_rows))
    batch, done = Rows(case.x), iter(range(30_000))
    return lambda: learner.step(batch, step=next(done))


def measure(case: Case, *, repeats: int) -> dict[str, Any]:
    """Checks and times of one size in one type, printed as they come."""
    kernels, device = kernels_named("triton"), case.x.device
    print(f"\n{case.name}: {case.sizes}")
    checks: dict[str, bool] = {}
    with counted() as screened:
        checks |= check_choices(case, kernels)
    if case.sizes.name != "large":  # the dense float64 graph would take 20 GB
        checks |= check_gradients(case, kernels)
    if case.x.dtype == torch.float32:
        checks |= check_rows(case, kernels)
    for name, passed in checks.items():
        print(f"  {'pass' if passed else 'FAIL'}  {name}")
    times = {name: milliseconds(run, device, repeats=repeats) for name, run in parts(case).items()}
    if case.x.dtype == torch.float32:
        for kernel in ("triton", "torch", "reference"):
            times[f"whole step, {kernel}"] = milliseconds(whole_step(case, kernel), device, repeats=repeats)
    for name, taken in times.items():
        print(f"  {taken:10.3f} ms  {name}")
    return {"case": case.name, **case.sizes._asdict(), "checks": checks, "milliseconds": times,
            "uncertified_fraction": screened.uncertified_fraction, "candidates_per_row": screened.candidates_per_row}  # fmt: skip


def main() -> int:
    """The script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--repeats", type=int, default=20, help="runs that a median is of")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes: to try the script in Triton's interpreter")
    args = parser.parse_args()
    if not torch.cuda.is_available() and not args.tiny:
        print("gpu.py needs a CUDA device (made for compute capability 9.0) and Triton: pip install 'monoseme[gpu]'")
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        kernels_named("triton")
    except MonosemeError as error:
        print(error)
        return 2
    name = torch.cuda.get_device_name() if device.type == "cuda" else "Triton's interpreter: times mean nothing"
    print(f"{name}, torch {torch.__version__}")
    cases = (make_case(sizes, dtype, device) for sizes in (_TINY if args.tiny else _ALL) for dtype in _TYPES)
    results = [measure(case, repeats=args.repeats) for case in cases]
    if args.json:
        args.json.write_text(json.dumps({"device": name, "torch": torch.__version__, "cases": results}, indent=2))
    failed = [f"{r['case']}: {check}" for r in results for check, passed in r["checks"].items() if not passed]
    print("\nall checks passed" if not failed else "\nFAILED\n  " + "\n  ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
