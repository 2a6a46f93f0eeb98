"""Build the wheel and the sdist, install the wheel where nothing of this folder is, and run the demo there without a network.

    python scripts/check_wheel.py                        dependencies are those of the environment that runs this
    python scripts/check_wheel.py --install              pip installs them too, with constraints.txt: needs a package index
    python scripts/check_wheel.py --skip-demo            builds, installs, looks inside and lists
    python scripts/check_wheel.py --keep FOLDER          leaves all of it there

Exit code 0 when all is well; each check is a line. The last line is JSON with seconds and sizes.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
NEEDED = (
    "monoseme/py.typed",
    "monoseme/bundled/NOTICE.md",
    "monoseme/bundled/stories.jsonl.gz",
    "monoseme/bundled/model/config.json",
    "monoseme/bundled/model/tokenizer.json",
    "monoseme/web/static/index.html",
    "monoseme/judges/prices.toml",
    "monoseme/cli/_completion.json",
    "monoseme/cli/_completion.fish",
)
"""Files without which something would not work after an install, one of each kind."""
FOREIGN = ("tests/", "docs/", "benchmarks/", "scripts/", "examples/", "monoseme/tests/")
"""Folders that have no place in a wheel; `monoseme/benchmarks` has one."""
IN_SDIST = ("pyproject.toml", "README.md", "LICENSE", "constraints.txt", "src/monoseme/__init__.py", "tests/conftest.py")
_GUARD = '''"""Refuses every connection beyond this machine: what runs here must do without a network."""
import socket

_connect, _look_up = socket.socket.connect, socket.getaddrinfo
_HERE = ("127.0.0.1", "::1", "localhost", "0.0.0.0", None, "")


def _guarded(self, address):
    if self.family != socket.AF_UNIX and address[0] not in _HERE:
        raise OSError(f"a connection to {address} was tried without a network")
    return _connect(self, address)


def _looked_up(host, *rest, **named):
    if host not in _HERE:
        raise socket.gaierror(f"the address of {host} was asked for without a network")
    return _look_up(host, *rest, **named)


socket.socket.connect, socket.getaddrinfo = _guarded, _looked_up
'''


class Built(NamedTuple):
    """What a build made."""

    wheel: Path
    sdist: Path


def build(out: Path, *, root: Path = ROOT) -> Built:
    """Builds both into `out` with hatchling, which asks for no network."""
    for target in ("wheel", "sdist"):
        _run([sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)], cwd=root)
    return Built(next(out.glob("*.whl")), next(out.glob("*.tar.gz")))


def problems_of_wheel(wheel: Path) -> list[str]:
    """What the wheel lacks, and what it should not have."""
    names = zipfile.ZipFile(wheel).namelist()
    lacks = [f"the wheel lacks {name}" for name in NEEDED if name not in names]
    extra = [f"the wheel has {name}" for name in names if name.startswith(FOREIGN) or "__pycache__" in name]
    return lacks + extra


def problems_of_sdist(sdist: Path) -> list[str]:
    """What the sdist lacks, and what it should not have."""
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    lacks = [f"the sdist lacks {name}" for name in IN_SDIST if name not in names]
    return lacks + [f"the sdist has {name}" for name in sorted(names) if name.startswith((".venv", "runs/", "site/"))]


def contents(wheel: Path) -> dict[str, str]:
    """File in the wheel -> hash of what is in it."""
    with zipfile.ZipFile(wheel) as file:
        return {name: hashlib.sha256(file.read(name)).hexdigest() for name in file.namelist()}


def rebuilt_differences(built: Built, work: Path) -> list[str]:
    """In which files the wheel that the sdist builds differs from the other."""
    with tarfile.open(built.sdist) as file:
        file.extractall(work / "unpacked", filter="data")
    root = next((work / "unpacked").iterdir())
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(work / "again")], cwd=root)
    first, second = contents(built.wheel), contents(next((work / "again").glob("*.whl")))
    return [
        f"the sdist builds another {name}" for name in sorted(first.keys() | second.keys()) if first.get(name) != second.get(name)
    ]


def install(wheel: Path, folder: Path, *, dependencies: bool) -> Path:
    """A new environment in `folder` with the wheel; its Python. Without `dependencies` it sees those of this environment."""
    venv.create(folder, with_pip=True, clear=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    flags = ["-c", str(ROOT / "constraints.txt")] if dependencies else ["--no-deps", "--no-index"]
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *flags, str(wheel)], cwd=folder)
    packages = Path(_run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], cwd=folder).strip())
    (packages / "no_network_guard.py").write_text(_GUARD)
    seen = "" if dependencies else f"{sysconfig.get_path('purelib')}\n"
    (packages / "zz_checked.pth").write_text(f"{seen}import no_network_guard\n")
    return python


def clean_environment() -> dict[str, str]:
    """The variables of a user who has never seen this folder, and no hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "MONOSEME"))}
    return kept | {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"}


def monoseme(python: Path, *words: str, cwd: Path) -> str:
    """What the installed command prints. Raises SystemExit with its words where it fails."""
    return _run([str(python.parent / "monoseme"), *words], cwd=cwd, env=clean_environment())


def is_guarded(python: Path, cwd: Path) -> bool:
    """Whether the environment refuses to go beyond this machine."""
    code = "import socket\ntry: socket.create_connection(('192.0.2.1', 9), 1)\nexcept OSError as e: print(e)"
    return "without a network" in _run([str(python), "-c", code], cwd=cwd, env=clean_environment())


def _run(words: Sequence[str], *, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


@contextmanager
def _timed(seconds: dict[str, float], what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[what] = round(time.perf_counter() - start, 1)
    print(f"{what}: {seconds[what]:,.1f} s", flush=True)


def check(work: Path, *, dependencies: bool, demo: bool) -> dict[str, object]:
    """All checks in turn; what was measured. Raises SystemExit with the first that fails."""
    seconds: dict[str, float] = {}
    with _timed(seconds, "build"):
        built = build(work / "dist")
    found = problems_of_wheel(built.wheel) + problems_of_sdist(built.sdist)
    with _timed(seconds, "build from the sdist"):
        found += rebuilt_differences(built, work)
    if found:
        raise SystemExit("\n".join(found))
    with _timed(seconds, "install"):
        python = install(built.wheel, work / "environment", dependencies=dependencies)
    place = work / "place"
    place.mkdir()
    code = "import monoseme, pathlib; print(pathlib.Path(monoseme.__file__).resolve())"
    imported = Path(_run([str(python), "-c", code], cwd=place, env=clean_environment()).strip())
    if not imported.is_relative_to((work / "environment").resolve()):
        raise SystemExit(f"monoseme was imported from {imported}")
    if not is_guarded(python, place):
        raise SystemExit("the environment reaches beyond this machine")
    with _timed(seconds, "monoseme ls"):
        if "topk" not in monoseme(python, "ls", "saes", cwd=place):
            raise SystemExit("monoseme ls saes does not list topk")
    if demo:
        with _timed(seconds, "monoseme demo --no-serve"):
            monoseme(python, "demo", "--no-serve", cwd=place)
        with _timed(seconds, "monoseme check"):
            monoseme(python, "check", "runs/demo", cwd=place)
        if not (place / "runs/demo/report/index.html").is_file():
            raise SystemExit("the demo wrote no report")
    n_bytes = {"wheel": built.wheel.stat().st_size, "sdist": built.sdist.stat().st_size}
    return {"seconds": seconds, "bytes": n_bytes, "n_files": len(contents(built.wheel)), "dependencies_installed": dependencies}


def main() -> None:
    """Reads the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="install dependencies, too")
    parser.add_argument("--skip-demo", action="store_true", help="do not run the demo")
    parser.add_argument("--keep", type=Path, help="a folder for all of it")
    said = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="monoseme-wheel-")) if said.keep is None else said.keep
    work.mkdir(parents=True, exist_ok=True)
    try:
        print(json.dumps(check(work, dependencies=said.install, demo=not said.skip_demo)))
    finally:
        if said.keep is None:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
