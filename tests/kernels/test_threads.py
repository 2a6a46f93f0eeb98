"""Compiled loops take as many threads as torch, bear two Python threads at once on every pool, and refuse a forked process."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

numba = pytest.importorskip("numba")

_has_omp = pytest.mark.skipif(importlib.util.find_spec("numba.np.ufunc.omppool") is None, reason="Numba built without OpenMP")
_POOLS = [pytest.param("omp", marks=_has_omp), "workqueue"]

_LOOPS = """
import sys, threading
import numba, numpy as np, torch
from monoseme.kernels._threads import launch, layer

@numba.njit(parallel=True)
def doubled(values, out):
    for i in numba.prange(len(values)):
        out[i] = 2 * values[i]

def work(seed, wrong):
    values = np.random.default_rng(seed).standard_normal(5003)
    for _ in range(300):
        out = np.empty_like(values)
        with launch():
            doubled(values, out)
        if not np.array_equal(out, 2 * values):
            wrong.append(seed)
"""

_TWO_THREADS = (
    _LOOPS
    + """
wrong = []
threads = [threading.Thread(target=work, args=(seed, wrong)) for seed in (0, 1)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.stdout.write(f"{layer()} {wrong}")
"""
)

_FORK = (
    _LOOPS
    + """
import os
from monoseme.core.errors import MonosemeError
wrong = []
USED_BEFORE and work(0, wrong)
child = os.fork()
if child == 0:
    try:
        work(1, wrong)
        os._exit(0)
    except MonosemeError as error:
        os._exit(7 if "spawn" in str(error) else 1)
sys.stdout.write(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""
)


def _run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("pool", _POOLS)
def test_two_python_threads_may_launch_at_once_on_every_pool(pool: str) -> None:
    assert _run(_TWO_THREADS, NUMBA_THREADING_LAYER=pool) == f"{pool} []"


@_has_omp
def test_openmp_is_the_pool_where_nothing_is_said() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    code = "from monoseme.kernels._threads import layer; import sys; sys.stdout.write(layer())"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "omp"


def test_a_launch_takes_as_many_threads_as_torch_has_at_that_moment() -> None:
    from monoseme.kernels._threads import launch

    before = torch.get_num_threads()
    try:
        for wanted in (1, numba.config.NUMBA_NUM_THREADS, numba.config.NUMBA_NUM_THREADS + 3, 1):
            torch.set_num_threads(wanted)
            with launch():
                assert numba.get_num_threads() == min(wanted, numba.config.NUMBA_NUM_THREADS)
    finally:
        torch.set_num_threads(before)


@_has_omp
@pytest.mark.parametrize("first", ["numba.np.ufunc.omppool", "torch"])
def test_opening_the_pool_leaves_torchs_number_of_threads_alone(first: str) -> None:
    """Which OpenMP each finds depends on the order in which they are loaded."""
    code = (
        f"import {first}, sys, torch; torch.set_num_threads(3); from monoseme.kernels._threads import launch\n"
        "with launch(): pass\n"
        "sys.stdout.write(str(torch.get_num_threads()))"
    )
    assert _run(code) == "3"


def test_a_launch_inside_a_launch_does_not_wait_for_itself() -> None:
    import numba

    from monoseme.kernels._threads import launch, n_threads

    with launch():
        with launch():
            pass
        assert numba.get_num_threads() == n_threads()  # the inner one gives back what the outer one set


@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
@pytest.mark.parametrize("pool", _POOLS)
def test_a_child_forked_after_a_launch_says_to_spawn(pool: str) -> None:
    assert _run(_FORK.replace("USED_BEFORE", "True"), NUMBA_THREADING_LAYER=pool) == "7"


@_has_omp
@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
def test_a_child_forked_before_any_launch_opens_a_pool_of_its_own() -> None:
    assert _run(_FORK.replace("USED_BEFORE", "False"), NUMBA_THREADING_LAYER="omp") == "0"
