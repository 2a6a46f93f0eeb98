"""The Numba set gives the same bits whatever the number of threads, and whatever another Python thread computes meanwhile.

In processes of their own: the pool and its size are chosen once for a process.
"""

import importlib.util
import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

_has_omp = pytest.mark.skipif(importlib.util.find_spec("numba.np.ufunc.omppool") is None, reason="Numba built without OpenMP")

_STEP = """
import sys, threading, torch
from monoseme.kernels import AdamRule, Encoder, RowMatrix, kernels_named
from monoseme.kernels._threads import layer
from monoseme.tensors.factored import FactoredGrad

KERNELS = kernels_named("numba")
ENCODES = {
    "topk": lambda x, encoder: KERNELS.encode_topk(x, encoder, 7),
    "batch_topk": lambda x, encoder: KERNELS.encode_batch_topk(x, encoder, 7 * len(x)),
    "threshold": lambda x, encoder: KERNELS.encode_threshold(x, encoder, torch.tensor(2.5 * 67**0.5)),
}

def step(seed):
    "Codes, reconstruction, gradients and updated weights of 701 rows, 67 wide, 1031 latents."
    draw = torch.Generator().manual_seed(seed)
    x, rows = torch.randn(701, 67, generator=draw), torch.randn(1031, 67, generator=draw)
    given = []
    for name, encode in ENCODES.items():
        leaves = [x.clone(), rows.clone().t(), torch.zeros(1031), rows.clone()]
        x_, W_enc, b_enc, W_dec = (leaf.requires_grad_() for leaf in leaves)
        codes = encode(x_, Encoder(W_enc, b_enc))
        x_hat = KERNELS.decode(codes, W_dec)
        (x_hat - x).square().sum().backward()
        given += [codes.indices, codes.values, codes.offsets, x_hat, *(leaf.grad for leaf in leaves)]
    matrix = RowMatrix(rows, torch.zeros_like(rows), torch.zeros_like(rows), unit=True)
    rule = AdamRule(lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8, step=1, weight_decay=0.0, decoupled=False)
    return [t.detach() for t in (*given, KERNELS.rows.step(matrix, FactoredGrad(codes.detach(), x), rule, scale=1.0), rows)]

def same(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))
"""

_COUNTS = (
    _STEP
    + """
torch.set_num_threads(1)
alone = step(0)
for n_threads in (2, 3, 5):
    torch.set_num_threads(n_threads)
    sys.stdout.write(f"{n_threads} {same(step(0), alone)}\\n")
"""
)

_AT_ONCE = (
    _STEP
    + """
torch.set_num_threads(2)
alone, wrong = [step(0), step(1)], []

def work(seed):
    for _ in range(8):
        wrong.extend([] if same(step(seed), alone[seed]) else [seed])

threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.stdout.write(f"{layer()} {same(*alone)} {wrong}")
"""
)


def _run(code: str, pool: str) -> str:
    environment = {**os.environ, "NUMBA_THREADING_LAYER": pool, "NUMBA_NUM_THREADS": "5", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@_has_omp
def test_the_number_of_threads_moves_no_bit() -> None:
    assert _run(_COUNTS, "omp") == "2 True\n3 True\n5 True\n"


@pytest.mark.parametrize("pool", [pytest.param("omp", marks=_has_omp), "workqueue"])
def test_two_python_threads_at_once_get_what_each_gets_alone(pool: str) -> None:
    assert _run(_AT_ONCE, pool) == f"{pool} False []"
