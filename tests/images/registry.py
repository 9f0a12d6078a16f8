"""A registry on 127.0.0.1 that speaks the real protocol: images to pull, with or without a token.

Docker takes one at 127.0.0.0/8 without TLS.
"""

import gzip
import hashlib
import json
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.images.programs import busybox_archive

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
TOKEN = "the-registrys-token"


class Registry:
    """Holds images; `user` makes it ask for credentials."""

    def __init__(self, *, user: tuple[str, str] | None = None) -> None:
        self.user = user
        self.asked: list[str] = []
        self._blobs: dict[str, bytes] = {}
        self._tags: dict[str, bytes] = {}
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.answer(self)

            def do_HEAD(self) -> None:
                registry.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def push(self, name: str, script: str) -> str:
        """Make `repository:tag` run a shell script; return the manifest's digest."""
        archive = busybox_archive()
        layer = gzip.compress(archive, 1, mtime=0)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/sh", "-c", script]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(archive)]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob(
                json.dumps(config).encode(), "application/vnd.docker.container.image.v1+json"
            ),
            "layers": [self._blob(layer, "application/vnd.docker.image.rootfs.diff.tar.gzip")],
        }
        content = json.dumps(manifest).encode()
        repository, _, tag = name.partition(":")
        self._tags[f"{repository}/{tag}"] = self._tags[f"{repository}/{digest_of(content)}"] = (
            content
        )
        return digest_of(content)

    def _blob(self, content: bytes, kind: str) -> dict[str, Any]:
        self._blobs[digest_of(content)] = content
        return {"mediaType": kind, "size": len(content), "digest": digest_of(content)}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{request.command} {request.path}")
        url = urlsplit(request.path)
        if url.path == "/token":
            self._token(request, parse_qs(url.query))
        elif self.user is not None and request.headers["authorization"] != f"Bearer {TOKEN}":
            challenge = f'Bearer realm="http://{self.host}/token",service="{self.host}"'
            refusal = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
            _send(request, 401, json.dumps(refusal).encode(), {"WWW-Authenticate": challenge})
        elif url.path == "/v2/":
            _send(request, 200, b"{}", {})
        else:
            self._content(request, url.path)

    def _token(self, request: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
        user, password = self.user or ("", "")
        basic = b64encode(f"{user}:{password}".encode()).decode()
        assert query["service"] == [self.host]
        if request.headers["authorization"] != f"Basic {basic}":
            refusal = {"errors": [{"code": "DENIED", "message": "incorrect username or password"}]}
            _send(request, 401, json.dumps(refusal).encode(), {})
            return
        _send(request, 200, json.dumps({"token": TOKEN}).encode(), {})

    def _content(self, request: BaseHTTPRequestHandler, path: str) -> None:
        repository, kind, name = path.removeprefix("/v2/").rsplit("/", 2)
        found = self._blobs.get(name) if kind == "blobs" else self._tags.get(f"{repository}/{name}")
        if found is None:
            refusal = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            _send(request, 404, json.dumps(refusal).encode(), {})
            return
        media_type = MANIFEST if kind == "manifests" else "application/octet-stream"
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest_of(found)}
        _send(request, 200, found, headers)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _send(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
