"""Runs `asking.py` and kills it at moments drawn by chance, until it has been killed often enough or is done."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_ASKING = Path(__file__).with_name("asking.py")


def killed_until_done(home: Path, told: dict[str, Any], *, n_kills: int, within: float = 0.25, seed: int = 7) -> int:
    """Lets the last one end; how often one was killed. Each is killed so many seconds after it holds its folder, at most."""
    moments = random.Random(seed)
    desk = {"poll_seconds": 0.01, "settle_seconds": 0.15, "prices": str(home / "prices.toml"), "budget": 9.0}
    whole = {**told, "folder": str(home / "asked"), "desk": {**desk, **told["desk"]}}
    words = [sys.executable, str(_ASKING), json.dumps(whole)]
    killed = 0
    while killed < n_kills and not (home / "answers").exists():  # it may be done sooner
        (home / "asked" / ".writer.lock").unlink(missing_ok=True)  # of the one that was killed
        command = subprocess.Popen(words)
        while command.poll() is None and not (home / "asked" / ".writer.lock").exists():
            time.sleep(0.002)
        time.sleep(moments.uniform(0.0, within))
        killed += command.poll() is None
        command.kill()
        command.wait()
    subprocess.run(words, check=True)
    return killed
