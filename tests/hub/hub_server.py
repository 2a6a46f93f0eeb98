"""A small hub on this machine: the requests that huggingface_hub makes for a push and a pull, with revisions, and faults."""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

TOKEN = "hf_of_the_test"


@dataclass
class StoredRepo:
    """One repository: branch -> commit, commit -> path -> content."""

    private: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def at(self, revision: str) -> str | None:
        """The commit that a name means."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)


class HubServer(ThreadingHTTPServer):
    """Serves until it is shut down; `refuse` maps a beginning of a path to a status."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, StoredRepo] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.refuse: dict[str, int] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """As HF_ENDPOINT names it."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET

    def _serve(self) -> None:
        body = self._body()
        path = unquote(urlparse(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        for beginning, status in self.server.refuse.items():
            if path.startswith(beginning):
                return self._answer({"error": "as asked"}, status)
        if self.headers.get("Authorization", "") not in (f"Bearer {TOKEN}", "") and not path.startswith("/upload/"):
            return self._answer({"error": "Invalid token"}, 401)
        parts = path.strip("/").split("/")
        if parts[0] == "upload":
            self.server.blobs[parts[1]] = body
            return self._answer({})
        if parts[:2] == ["api", "validate-yaml"]:
            return self._answer({"errors": [], "warnings": []})
        if parts[:3] == ["api", "repos", "create"]:
            return self._create(json.loads(body))
        if "info" in parts and "lfs" in parts:
            return self._lfs(json.loads(body))
        if parts[0] == "api" and len(parts) < 4:
            return self._answer({"error": "not here"}, 404)
        if parts[0] == "api" and len(parts) < 5:
            return self._api(parts[1], "/".join(parts[2:4]), "revision", "main", body)
        if parts[0] == "api":
            return self._api(parts[1], "/".join(parts[2:4]), parts[4], "/".join(parts[5:]), body)
        return self._resolve(parts)

    def _body(self) -> bytes:
        """The whole body, also one in pieces."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _create(self, asked: dict[str, Any]) -> None:
        key = f"{asked.get('type') or 'model'}s/{asked['organization']}/{asked['name']}"
        if key in self.server.repos:
            return self._answer({"error": "exists", "url": f"{self.server.endpoint}/{key}"}, 409)
        first = hashlib.sha1(key.encode()).hexdigest()
        self.server.repos[key] = StoredRepo(
            bool(asked.get("private")) or asked.get("visibility") == "private", {"main": first}, {first: {}}
        )
        return self._answer({"url": f"{self.server.endpoint}/{asked['organization']}/{asked['name']}"})

    def _api(self, kind: str, name: str, what: str, revision: str, body: bytes) -> None:
        repo = self.server.repos.get(f"{kind}/{name}")
        if repo is None or (repo.private and not self.headers.get("Authorization")):
            return self._answer({"error": "no repo"}, 404, {"X-Error-Code": "RepoNotFound"})
        if what == "branch":
            if revision in repo.branches:
                return self._answer({"error": "exists"}, 409)
            repo.branches[revision] = repo.branches["main"]
            return self._answer({})
        commit = repo.at(revision)
        if commit is None:
            return self._answer({"error": "no revision"}, 404, {"X-Error-Code": "RevisionNotFound"})
        held = repo.commits[commit]
        if what == "revision":
            return self._answer({"id": name, "sha": commit, "siblings": [{"rfilename": path} for path in held]})
        if what == "tree":
            rows = [{"type": "file", "path": path, "size": len(data), "oid": _oid(data)} for path, data in held.items()]
            return self._answer(rows)
        if what == "preupload":
            asked = json.loads(body)["files"]
            return self._answer({"files": [self._mode(file["path"], held) for file in asked]})
        return self._commit(repo, revision, commit, body)

    def _mode(self, path: str, held: dict[str, bytes]) -> dict[str, Any]:
        is_large = path.endswith(".safetensors")
        oid = None if path not in held else hashlib.sha256(held[path]).hexdigest() if is_large else _oid(held[path])
        return {"path": path, "uploadMode": "lfs" if is_large else "regular", "shouldIgnore": False, "oid": oid}

    def _lfs(self, asked: dict[str, Any]) -> None:
        def told(oid: str, size: int) -> dict[str, Any]:
            known = oid in self.server.blobs
            return {"oid": oid, "size": size} | (
                {} if known else {"actions": {"upload": {"href": f"{self.server.endpoint}/upload/{oid}"}}}
            )

        objects = [told(one["oid"], one["size"]) for one in asked["objects"]]
        self._answer({"transfer": "basic", "objects": objects})

    def _commit(self, repo: StoredRepo, branch: str, before: str, body: bytes) -> None:
        held = dict(repo.commits[before])
        for line in body.splitlines():
            row = json.loads(line)
            key, value = row["key"], row["value"]
            if key == "header":
                if value.get("parentCommit") not in (None, before):
                    return self._answer({"error": "moved"}, 412)
                repo.messages.append(value["summary"])
            elif key == "file":
                held[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                held[value["path"]] = self.server.blobs[value["oid"]]
            elif key == "deletedFile":
                del held[value["path"]]
        facts = json.dumps([before, {path: hashlib.sha1(data).hexdigest() for path, data in held.items()}])
        commit = hashlib.sha1(facts.encode()).hexdigest()
        repo.commits[commit], repo.branches[branch] = held, commit
        return self._answer({"commitOid": commit, "commitUrl": f"{self.server.endpoint}/x/y/commit/{commit}"})

    def _resolve(self, parts: list[str]) -> None:
        kind = "datasets" if parts[0] == "datasets" else "models"
        rest = parts[1:] if kind == "datasets" else parts
        repo = self.server.repos.get(f"{kind}/{rest[0]}/{rest[1]}")
        commit = repo and repo.at(rest[3])
        data = repo.commits[commit].get("/".join(rest[4:])) if repo and commit else None
        if data is None:
            return self._answer({"error": "no entry"}, 404, {"X-Error-Code": "EntryNotFound"})
        return self._answer(data, 200, {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": str(commit)})

    def _answer(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if isinstance(content, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _oid(data: bytes) -> str:
    """As git names a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
