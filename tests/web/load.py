"""Many clients at once: they steer, search and read prompts for a while, one reads nothing of what it asked for, some go away.

    python tests/web/load.py RUN --seconds 60 --clients 50

Starts a server of its own and prints what was measured as JSON. One that is
refused with 429 is asked again.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx

WORDS = ("dog", "once", "said", "the", "happy", "red", "key", "home")


@dataclass
class Tally:
    """What the clients have seen."""

    n_texts: Counter[int] = field(default_factory=Counter)
    """Client -> texts that came whole."""
    n_searches: int = 0
    n_prompts: int = 0
    n_left: int = 0
    """Streams that a client closed on purpose."""
    n_refused: int = 0
    errors: list[str] = field(default_factory=list)
    first_token_seconds: list[float] = field(default_factory=list)
    text_seconds: list[float] = field(default_factory=list)
    search_seconds: list[float] = field(default_factory=list)


class Client:
    """One browser tab."""

    def __init__(self, number: int, run: str, sae: str, http: httpx.AsyncClient, tally: Tally) -> None:
        self._number, self._run, self._sae, self._http, self._tally = number, run, sae, http, tally
        self._headers = {"x-monoseme-tab": f"tab-{number}"}

    async def work(self, until: float) -> None:
        """Steers, searches, reads, and now and then goes away in the middle of a text."""
        turn = 0
        while time.monotonic() < until:
            try:
                await self._steer(turn, leaves=(turn + self._number) % 7 == 6)
                await self._search(WORDS[(turn + self._number) % len(WORDS)])
                if (turn + self._number) % 3 == 0:
                    await self._read()
            except (httpx.HTTPError, ValueError) as error:
                self._tally.errors.append(f"{type(error).__name__}: {error}")
            turn += 1

    async def _steer(self, turn: int, *, leaves: bool) -> None:
        latent = (self._number * 7 + turn) % 60
        asked = {
            "prompts": [f"{WORDS[turn % len(WORDS)].capitalize()} and a little"],
            "latents": [{"sae": self._sae, "latent": latent, "strength": 1, "unit": "raw"}],
            "watch": [{"sae": self._sae, "latent": latent}],
            "sampling": {"max_new_tokens": 24, "temperature": 0.8, "seed": turn},
        }
        begun, names = time.monotonic(), Counter[str]()
        async with self._http.stream("POST", f"/api/runs/{self._run}/steer", json=asked, headers=self._headers) as answer:
            if answer.status_code == 429:
                self._tally.n_refused += 1
                await asyncio.sleep(float(answer.headers["retry-after"]))
                return
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if not line.startswith("event: "):
                    continue
                names[line[7:]] += 1
                if line == "event: token" and names["token"] == 1:
                    self._tally.first_token_seconds.append(time.monotonic() - begun)
                if leaves and names["token"] > 5:
                    self._tally.n_left += 1
                    return
        if names["done"] != 1 or names["ended"] != 2:
            raise ValueError(f"a stream was lost after {dict(names)}")
        self._tally.n_texts[self._number] += 1
        self._tally.text_seconds.append(time.monotonic() - begun)

    async def _search(self, word: str) -> None:
        begun = time.monotonic()
        await self._get(f"/api/runs/{self._run}/saes/{self._sae}/latents", q=word)
        self._tally.search_seconds.append(time.monotonic() - begun)
        self._tally.n_searches += 1

    async def _read(self) -> None:
        await self._get(f"/api/runs/{self._run}/saes/{self._sae}/prompt", text="The dog ran home to the red house.")
        self._tally.n_prompts += 1

    async def _get(self, path: str, **params: str) -> None:
        answer = await self._http.get(path, params=params, headers=self._headers)
        if answer.status_code == 429:
            self._tally.n_refused += 1
        elif answer.status_code != 200:
            raise ValueError(f"{path} answered {answer.status_code}: {answer.text[:200]}")


async def load(url: str, pid: int, *, n_clients: int, seconds: float) -> dict[str, Any]:
    """What `n_clients` see in `seconds`, and what becomes of the memory of the server's process."""
    tally, limits = Tally(), httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
        run = (await http.get("/api/runs")).json()[0]["id"]
        sae = (await http.get(f"/api/runs/{run}/steer")).json()["saes"][0]["key"]
        clients = [Client(i, run, sae, http, tally) for i in range(n_clients)]
        await clients[0].work(time.monotonic() + 1)  # loads the model and the SAE
        tally.__init__()
        memory = [resident_mb(pid)]
        until = time.monotonic() + seconds
        with _deaf_client(url, run):
            watching = asyncio.create_task(_watch(memory, pid))
            await asyncio.gather(*(client.work(until) for client in clients))
            watching.cancel()
        await asyncio.sleep(1)
        memory.append(resident_mb(pid))
    return _facts(tally, memory, n_clients=n_clients, seconds=seconds)


async def _watch(memory: list[float], pid: int) -> None:
    while True:
        await asyncio.sleep(1)
        memory.append(resident_mb(pid))


@contextmanager
def _deaf_client(url: str, run: str) -> Iterator[None]:
    """Asks for as much as one may, and reads nothing."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    sampling = {"max_new_tokens": 400, "temperature": 1.0}
    body = json.dumps({"prompts": ["Once upon"] * 8, "arms": ["default"], "sampling": sampling})
    head = (
        f"POST /api/runs/{run}/steer HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
        f"x-monoseme-tab: deaf\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall((head + body).encode())
        yield


def resident_mb(pid: int) -> float:
    """Memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def _facts(tally: Tally, memory: list[float], *, n_clients: int, seconds: float) -> dict[str, Any]:
    texts = [tally.n_texts[i] for i in range(n_clients)]
    half = max(memory[: len(memory) // 2])
    return {
        "n_clients": n_clients,
        "seconds": seconds,
        "n_texts": sum(texts),
        "n_left": tally.n_left,
        "n_searches": tally.n_searches,
        "n_prompts": tally.n_prompts,
        "n_refused": tally.n_refused,
        "n_errors": len(tally.errors),
        "errors": sorted(set(tally.errors))[:5],
        "texts_per_client": {"min": min(texts), "median": median(texts), "max": max(texts)},
        "first_token_seconds": _spread(tally.first_token_seconds),
        "text_seconds": _spread(tally.text_seconds),
        "search_seconds": _spread(tally.search_seconds),
        "memory_mb": {"before": memory[0], "most_of_first_half": half, "most": max(memory), "after": memory[-1]},
    }


def _spread(values: list[float]) -> dict[str, float | None]:
    ordered = sorted(values)
    if not ordered:
        return {"median": None, "p95": None, "max": None}
    return {"median": median(ordered), "p95": ordered[int(len(ordered) * 0.95)], "max": ordered[-1]}


@contextmanager
def served(run: Path) -> Iterator[tuple[str, int]]:
    """The address and the process of a server over `run`."""
    command = [sys.executable, "-m", "monoseme", "serve", str(run), "--port", "0"]
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            said = ""
            for line in server.stdout:
                said += line
                if found := re.search(r"http://\S+", line):
                    yield found[0].rstrip("/"), server.pid
                    return
            raise RuntimeError(f"the server did not begin: {said}")
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                raise RuntimeError("the server did not end when it was told to") from None


def main() -> None:
    """Prints the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=50)
    flags = parser.parse_args()
    with served(flags.run) as (url, pid):
        measured = asyncio.run(load(url, pid, n_clients=flags.clients, seconds=flags.seconds))
    sys.stdout.write(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
