"""Executes the notebooks of docs/notebooks again and keeps what they show, without what is of this machine.

    python scripts/run_notebooks.py                     all of them
    python scripts/run_notebooks.py train_and_look      by name

Each runs in an empty folder, so that all paths in it are relative. What is written to stderr, timings and the versions of the
kernel are left out; execution counts begin at 1.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
_SECONDS = 600
"""A cell may take so long: ten times what one takes on two idle cores."""


def main(words: list[str]) -> int:
    """Executes those named, or all."""
    paths = [NOTEBOOKS / f"{Path(word).stem}.ipynb" for word in words] or sorted(NOTEBOOKS.glob("*.ipynb"))
    for path in paths:
        began = time.perf_counter()
        notebook = executed(path)
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.perf_counter() - began:.0f} s, {path.stat().st_size / 1e3:.0f} kB")
    return 0


def executed(path: Path) -> Any:
    """The notebook with fresh outputs. Raises nbclient's CellExecutionError for a cell that fails."""
    notebook: Any = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=_SECONDS, kernel_name="python3", resources={"metadata": {"path": folder}})
        client.execute()
    return stripped(notebook)


def stripped(notebook: Any) -> Any:
    """Without what differs from machine to machine: timings, streams of stderr, versions of the kernel."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                output.get("metadata", {}).clear()
    return notebook


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
