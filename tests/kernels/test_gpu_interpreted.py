"""Where there is no GPU, the tests of the Triton kernels run in Triton's interpreter, all in one process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kernels._gpu_cases import HAS_GPU, HAS_TRITON

_HERE = Path(__file__).resolve().parent
_FILES = ("test_gpu_kernels.py", "test_gpu_parts.py", "test_gpu_rows.py")


@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed: pip install monoseme[gpu]")
@pytest.mark.skipif(HAS_GPU, reason="the same tests run compiled, on the device here")
def test_the_triton_kernels_are_right_in_the_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not gpu"]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    files = [str(_HERE / name) for name in _FILES]
    done = subprocess.run([*command, *files], env=environment, cwd=_HERE.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_importing_the_kernels_imports_no_triton() -> None:
    code = "import sys, monoseme.kernels; sys.exit('triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
