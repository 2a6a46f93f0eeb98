"""Who may connect, and what the headers say."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from monoseme.web._app import app_over
from monoseme.web._security import is_loopback

from .fake_run import FakeRun

TOKEN = "t0ken-of-the-test"
HOME = "http://127.0.0.1:8321"


@pytest.fixture
def exposed() -> TestClient:
    return TestClient(app_over([FakeRun()], hosts=None, token=TOKEN), base_url="http://lab.example:8321", follow_redirects=False)


@pytest.mark.parametrize("path", ["/", "/api/runs", "/api/runs/nowhere", "/assets/js/app.js", "/assets/nothing.js"])
def test_every_answer_forbids_inline_code_eval_and_framing(client: TestClient, path: str) -> None:
    policy = client.get(path).headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy


def test_answers_are_not_sniffed_and_send_no_referrer(client: TestClient) -> None:
    headers = client.get("/").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("host", ["127.0.0.1:8321", "localhost:9000", "[::1]:8321", "LOCALHOST"])
def test_loopback_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/runs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example:8321",
        "localhost.evil.example",
        "",
        "[::1",
        "x@127.0.0.1",
        "127.0.0.1#x",
        "localhost:x",
    ],
)
def test_another_host_name_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/runs", headers={"host": host})
    assert answer.status_code == 421
    assert answer.json()["hint"]


def test_another_sites_script_is_refused(client: TestClient) -> None:
    assert client.get("/api/runs", headers={"origin": "http://evil.example"}).status_code == 403
    fetch = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get("/api/runs/demo/saes/topk/prompt?text=x", headers=fetch).status_code == 403


@pytest.mark.parametrize(
    "origin", ["null", "http://[::1", "//127.0.0.1:8321", "file://127.0.0.1:8321", "http://x@127.0.0.1:8321"]
)
def test_what_is_no_origin_of_ours_is_refused(client: TestClient, origin: str) -> None:
    assert client.get("/api/runs", headers={"origin": origin}).status_code == 403


def test_a_frame_in_another_sites_page_is_refused(client: TestClient) -> None:
    framed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    assert client.get("/api/runs", headers=framed).status_code == 403


def test_every_route_refuses_another_host_and_another_sites_page(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method in methods:
            body = {"json": {}} if method == "post" else {}
            assert client.request(method, path, headers={"host": "evil.example"}, **body).status_code == 421
            assert client.request(method, path, headers={"origin": "http://evil.example"}, **body).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-length": "1000001"}, 413),
        ({"content-length": "0" * 30}, 413),
        ({"transfer-encoding": "chunked"}, 411),
    ],
)
def test_a_body_of_another_kind_or_of_no_known_length_is_refused_unread(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    sent = {"content-type": "application/json", **headers}
    answer = client.post("/api/runs/demo/steer", content=b"{}", headers=sent)
    assert answer.status_code == status
    assert answer.json()["hint"]


def test_an_error_that_nobody_foresaw_keeps_its_words_and_the_headers() -> None:
    class Broken(FakeRun):
        def page(self, reader: Any) -> Any:
            raise RuntimeError("secret")

    quiet = TestClient(app_over([Broken("demo")]), base_url=HOME, raise_server_exceptions=False)
    answer = quiet.get("/api/runs/demo")
    assert answer.status_code == 500
    assert answer.json()["hint"]
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_an_error_says_of_what_was_asked_no_more_than_is_read(client: TestClient) -> None:
    assert len(client.get(f"/assets/{'x' * 9000}").json()["error"]) < 2100


def test_a_method_that_an_address_does_not_take_is_told_the_one_it_takes(client: TestClient) -> None:
    assert (
        client.delete("/api/runs", headers={"content-type": "application/json", "content-length": "0"}).headers["allow"] == "GET"
    )


def test_own_pages_and_links_from_elsewhere_are_answered(client: TestClient) -> None:
    assert client.get("/api/runs", headers={"origin": HOME}).status_code == 200
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/runs/demo", headers=followed).status_code == 200


def test_a_port_of_another_server_is_another_origin(client: TestClient) -> None:
    assert client.get("/api/runs", headers={"origin": "http://127.0.0.1:9999"}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/api/runs", "/assets/js/app.js"])
def test_an_exposed_app_answers_nothing_without_its_token(exposed: TestClient, path: str) -> None:
    answer = exposed.get(path)
    assert answer.status_code == 401
    assert "--expose" in answer.json()["hint"]
    assert exposed.get(f"{path}?token=wrong").status_code == 401


def test_the_token_moves_from_the_address_into_a_cookie(exposed: TestClient) -> None:
    answer = exposed.get(f"/runs/demo?token={TOKEN}&a=1%262")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/runs/demo?a=1%262"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert exposed.get("/api/runs").status_code == 200


def test_the_token_is_taken_as_a_bearer_and_in_an_api_address(exposed: TestClient) -> None:
    assert exposed.get("/api/runs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert exposed.get(f"/api/runs?token={TOKEN}").status_code == 200
    table = "/api/runs/demo/saes/topk/latents"  # takes no parameter that it does not know
    assert exposed.get(f"{table}?limit=2&token={TOKEN}").json()["limit"] == 2


def test_a_redirect_never_leaves_the_site(exposed: TestClient) -> None:
    answer = exposed.get(f"http://lab.example:8321//evil.example/x?token={TOKEN}")
    assert answer.headers["location"] == "/evil.example/x"


def test_answering_for_every_host_needs_a_token() -> None:
    with pytest.raises(ValueError, match="token"):
        app_over([FakeRun()], hosts=None)


def test_loopback_is_told_from_other_hosts() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "127.8.0.1"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.4", "127.evil.example", "example.org"))
