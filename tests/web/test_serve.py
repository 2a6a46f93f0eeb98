"""`serve`: what can be bound, and what to type when it cannot."""

import socket
import threading
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from monoseme.core.errors import ArtifactMissingError, ModelNotFoundError, PortInUseError, ServeError
from monoseme.web._ending import EndingServer
from monoseme.web._serve import bind
from monoseme.web.worker import ModelWorker


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


@pytest.mark.parametrize("model", ["./typo", "/models/typo", "typo", "~/no-such-model", "models/deep/typo"])
def test_a_mistyped_model_is_told_before_a_port_is_taken(
    run_folder: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match="no model folder"):
        bind([run_folder], host="127.0.0.1", port=0, expose=False, model=model)


def test_a_model_of_the_hub_is_not_looked_up_and_a_folder_is_not_loaded(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "here").mkdir(parents=True)
    (tmp_path / "models" / "here" / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: pytest.fail("the hub is asked"))
    for model in ("bundled", "gpt2", "openai-community/gpt2", "models/here"):
        bind([run_folder], host="127.0.0.1", port=0, expose=False, model=model).socket.close()
    with pytest.warns(UserWarning, match="there is no folder models/typo"):
        bind([run_folder], host="127.0.0.1", port=0, expose=False, model="models/typo").socket.close()


def test_a_server_ends_while_a_client_reads_nothing_of_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monoseme.web._ending._LAST_SECONDS", 600)  # what cuts the client off is not uvicorn's giving up
    stalls = threading.Event()

    async def long(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(50_000_000), "more_body": True})
        stalls.set()
        await send({"type": "http.response.body"})

    config = uvicorn.Config(long, log_level="error", lifespan="off")
    server, listening = EndingServer(config, ModelWorker()), socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    with socket.create_connection(listening.getsockname()) as deaf:
        thread.start()
        deaf.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert stalls.wait(20)
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()
