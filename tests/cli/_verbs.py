"""One of the processes that torchrun starts, which runs several commands. As a script: FOLDER; exit codes go to FOLDER.

FOLDER/commands.json holds the words of each command. torchrun serves one meeting: the first command's. The others meet at a port
of their own.
"""

import json
import os
import sys
from pathlib import Path

from monoseme.cli.main import main


def run(folder: Path) -> None:
    given = json.loads((folder / "commands.json").read_text())
    codes: list[int] = []
    for number, (port, words) in enumerate(given):
        if number:
            os.environ |= {"MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "False"}
        codes.append(main(words))
    (folder / f"codes.{os.environ['RANK']}.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    run(Path(sys.argv[1]))
