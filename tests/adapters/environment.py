"""Scripts run by the Python of another tool's environment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[2]


def run_script(environment: str, script: str, *words: object) -> Any:
    """What `scripts/NAME.py` prints last, as JSON. Skips where MONOSEME_PEERS names no folder with that environment."""
    place = os.environ.get("MONOSEME_PEERS")
    python = Path(place or ".") / environment / "bin" / "python"
    if place is None or not python.is_file():
        pytest.skip(f"MONOSEME_PEERS names no folder with an environment {environment}; docs/adapters.md says how to make it")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    command = [str(python), str(Path(__file__).parent / "scripts" / f"{script}.py"), *map(str, words)]
    paths = {"PYTHONPATH": str(_ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=840, check=False, env=clean | paths)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
