"""`monoseme serve`: bind the port, say the address, run the app until Ctrl-C."""

import errno
import secrets
import socket
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fastapi import FastAPI

from monoseme.core.display import get_display
from monoseme.core.errors import PortInUseError, ServeError
from monoseme.models.local import require_model
from monoseme.web._app import create_app
from monoseme.web._library import runs_and_studies
from monoseme.web._security import is_loopback


class Server(NamedTuple):
    """An app bound to a listening socket; `url` is what to open in a browser."""

    app: FastAPI
    socket: socket.socket
    url: str


def serve(
    paths: Sequence[Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8321,
    open_browser: bool = False,
    expose: bool = False,
    model: str | None = None,
) -> None:
    """Serves the web app over `paths`, which are runs and folders of studies, until interrupted.

    `port` 0 takes a free one. A `host` that other machines can reach needs `expose`; the app then asks for a token, which is
    in the address that is shown. `model` is the folder or hub id of the language model, where it is not where the runs had it.

    Raises ServeError for such a host without `expose`, or an address that is not this machine's; PortInUseError; ArtifactError
    for a folder that is not a run; ModelNotFoundError for a `model` in a folder that is not there (a hub id is not looked up).
    """
    import uvicorn

    from monoseme.web._ending import EndingServer

    server = bind(paths, host=host, port=port, expose=expose, model=model)
    get_display().say(f"serving {_counted(paths)} at {server.url}  (Ctrl-C stops it)")
    if open_browser:
        # The socket listens already, so a browser that is quicker than uvicorn waits instead of failing.
        threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
    config = uvicorn.Config(server.app, log_level="warning", access_log=False, server_header=False)
    with server.socket:
        EndingServer(config, server.app.state.worker).run(sockets=[server.socket])


def bind(paths: Sequence[Path], *, host: str, port: int, expose: bool, model: str | None = None) -> Server:
    """The app and its listening socket, everything that can fail about `serve`."""
    if not is_loopback(host) and not expose:
        raise ServeError(
            f"--host {host} lets other machines connect, and was not confirmed.\n"
            f"  To allow that, behind a token, type:  {_command(paths)} --host {host} --expose\n"
            "  To reach a remote machine privately:  ssh -L 8321:127.0.0.1:8321 that-machine"
        )
    token = None if is_loopback(host) else secrets.token_urlsafe(24)
    if model is not None:
        require_model(model)  # it is loaded with the first prompt, and a folder that is not there can be told before
    given = runs_and_studies(paths)
    app = create_app(given.runs, studies=given.studies, hosts=() if token is None else None, token=token, model=model)
    listening = _listen(host, port, command=_command(paths))
    query = f"?token={token}" if token else ""
    return Server(app, listening, f"http://{_shown(host)}:{listening.getsockname()[1]}/{query}")


def _listen(host: str, port: int, *, command: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    # Without it a port stays taken for a minute after a server that had open connections has ended.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"port {port} on {host} is in use by another program.\n"
                f"  Take another one:  {command} --port {_free_port(family, host)}"
            ) from error
        raise ServeError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listening


def _free_port(family: int, host: str) -> int:
    """A port that is free now."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def _shown(host: str) -> str:
    """`host` as it stands in a URL; an address that means "every interface" becomes this machine's name."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _counted(paths: Sequence[Path]) -> str:
    """`2 runs and 1 folder of studies`."""
    given = runs_and_studies(paths)
    counts = ((len(given.runs), "run", "runs"), (len(given.studies), "folder of studies", "folders of studies"))
    return " and ".join(f"{n} {one if n == 1 else more}" for n, one, more in counts if n) or "no run"


def _command(paths: Sequence[Path]) -> str:
    return " ".join(["monoseme serve", *(str(path) for path in paths)])
