"""What fifty clients of the web app see when they steer, search and read prompts at the same time.

    python -m benchmarks.web_load runs/demo --out docs/results/web_load.json

Run from the project's folder, on a quiet machine. Starts a server of its own; clients and server share the machine. Beside
the fifty is one that reads nothing of what it asked for. `tests/web/load.py` says what each does.
"""

import argparse
import asyncio
import json
from pathlib import Path

from tests.web.load import load, served

from monoseme.benchmarks._machine import machine_facts


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with an atlas")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--out", type=Path, default=Path("docs/results/web_load.json"))
    parsed = parser.parse_args()
    with served(parsed.run) as (url, pid):
        found = asyncio.run(load(url, pid, n_clients=parsed.clients, seconds=parsed.seconds))
    found["machine"] = machine_facts()
    parsed.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
