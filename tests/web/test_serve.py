"""`serve`: what can be bound, and what to type when it cannot."""

import socket
from pathlib import Path

import pytest

from monoseme.core.errors import ArtifactMissingError, PortInUseError, ServeError
from monoseme.web._serve import bind


def test_a_port_in_use_names_the_command_with_a_free_one(run_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=r"monoseme serve .*tiny --port \d+") as error:
            bind([run_folder], host="127.0.0.1", port=port, expose=False)
        assert str(port) in str(error.value).splitlines()[0]


def test_a_public_host_needs_to_be_confirmed(run_folder: Path) -> None:
    with pytest.raises(ServeError, match="--expose"):
        bind([run_folder], host="0.0.0.0", port=0, expose=False)


def test_an_exposed_server_has_a_long_token_in_its_address(run_folder: Path) -> None:
    server = bind([run_folder], host="0.0.0.0", port=0, expose=True)
    server.socket.close()
    assert len(server.url.split("?token=")[1]) >= 32


def test_loopback_has_no_token_and_says_its_port(run_folder: Path) -> None:
    server = bind([run_folder], host="127.0.0.1", port=0, expose=False)
    with server.socket:
        assert server.url == f"http://127.0.0.1:{server.socket.getsockname()[1]}/"


def test_a_folder_that_is_no_run_is_refused_before_a_port_is_taken(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"run\.json"):
        bind([tmp_path], host="127.0.0.1", port=0, expose=False)
