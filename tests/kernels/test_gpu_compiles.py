"""Every Triton kernel compiles for an H100, which needs no GPU; registers suffice in what they are tuned for.

Triton's interpreter takes Python that its compiler refuses, so that results alone do not show that a kernel can be built.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.kernels._gpu_cases import HAS_TRITON

if not HAS_TRITON or os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("needs Triton, and not its interpreter", allow_module_level=True)

import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas

from monoseme.kernels import _gpu_candidates, _gpu_choice, _gpu_products, _gpu_rounding, _gpu_rows, _gpu_screen, _gpu_segments
from monoseme.kernels import _gpu_threshold as _threshold
from monoseme.kernels._rows import AdamRule, RowMatrix
from monoseme.tensors.factored import FactoredGrad
from monoseme.tensors.sparse import SparseCodes

_ROWS, _LATENTS, _K = 8, 24576, 32
_MODULES = (_gpu_candidates, _gpu_choice, _gpu_products, _gpu_rounding, _gpu_rows, _gpu_screen, _gpu_segments, _threshold)


class _H100:
    """As much of a driver as compiling asks for."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return device

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """What the assembler says of every kernel that is launched, by name."""
    said: dict[str, str] = {}

    def build(kernel: Any, grid: object, *arguments: object, **constants: object) -> None:
        made = kernel.warmup(*arguments, grid=(1,), enable_fp_fusion=True, **constants)
        source = tmp_path / "kernel.ptx"
        source.write_text(made.asm["ptx"])
        command = [get_ptxas(90).path, "-v", "-arch=sm_90a", str(source), "-o", str(tmp_path / "kernel.cubin")]
        said[kernel.fn.__name__] = subprocess.run(command, capture_output=True, text=True, check=True).stderr

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    for module in _MODULES:
        monkeypatch.setattr(module, "launch", build)
    monkeypatch.setattr(triton.runtime.driver, "_active", _H100())
    return said


@pytest.mark.parametrize("width", [768, pytest.param(523, marks=pytest.mark.slow)])
def test_every_kernel_compiles_for_an_h100(built: dict[str, str], width: int) -> None:
    x, weight, bias = torch.empty(_ROWS, width), torch.empty(_LATENTS, width), torch.empty(_LATENTS)
    copies = [_gpu_rounding.rounded(rows, torch.bfloat16) for rows in (x, weight)]
    screened = _gpu_screen.screen(*copies, bias, bias, kept=8)
    _gpu_candidates.row_candidates(screened, _K, 128)
    _gpu_candidates.ends(screened)
    _gpu_choice.choose(torch.empty(_ROWS, 128, dtype=torch.int32), torch.empty(_ROWS, 128), _K)
    _threshold.nth_largest(torch.empty(_ROWS * 512), _K)
    codes = SparseCodes.from_topk(torch.zeros(_ROWS, _K, dtype=torch.int64), torch.zeros(_ROWS, _K), _LATENTS)
    products = _gpu_products.TritonProducts()
    products.weighted_rows(codes, weight)
    products.dots(codes, x, weight)
    products.latent_sums(codes, x)
    products.latent_totals(codes)
    matrix = RowMatrix(weight, weight, weight, True, copies[1])
    rule = AdamRule(1e-3, 0.9, 0.999, 1e-8, 1, 0.0, False)
    _gpu_rows.TritonRows().step(matrix, FactoredGrad(codes, x), rule, scale=1.0)
    _gpu_rows.TritonRows().gather(matrix, [FactoredGrad(codes, x)], weight, add=False)
    assert len(built) == 14
    if width % 64 == 0:
        spilled = {name: said for name, said in built.items() if not re.search(r"\b0 bytes spill stores", said)}
        assert spilled == {}
        used = re.search(r"Used (\d+) registers", built["_screen"])
        assert used is not None
        assert int(used[1]) <= _gpu_screen.HALF_TILES.registers


def test_kernels_compile_where_sizes_are_one(built: dict[str, str]) -> None:
    # Triton makes constants of arguments that are 1, and takes other ways with them.
    x, weight, bias = torch.empty(1, 33), torch.empty(1, 33), torch.empty(1)
    copies = [_gpu_rounding.rounded(rows, torch.bfloat16) for rows in (x, weight)]
    _gpu_candidates.row_candidates(_gpu_screen.screen(*copies, bias, bias, kept=8), 1, 32)
    _gpu_choice.choose(torch.empty(1, 32, dtype=torch.int32), torch.empty(1, 32), 1)
    codes = SparseCodes.from_topk(torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1), 1)
    products = _gpu_products.TritonProducts()
    products.weighted_rows(codes, weight)
    products.dots(codes, x, weight)
    products.latent_sums(codes, x)
    assert len(built) == 8
