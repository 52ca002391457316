"""A web server on this machine that can stop in the middle, and images to serve."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qdr.suite.data import download


class Server:
    """Serves `files`; `cut` ends the next answers after so many bytes; `asked` lists path and Range of every request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: list[int] = []
        self.etag = '"one"'
        self.kind = "application/zip"
        self.asked: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/{name}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        self.asked.append((request.path[1:], wanted))
        body = self.files.get(request.path[1:])
        if body is None:
            return request.send_error(404)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if request.headers.get("If-Range", self.etag) != self.etag:
            start = 0
        if start >= len(body):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(body)}")
            request.send_header("Content-Length", "0")
            return request.end_headers()
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.send_header("Content-Type", self.kind)
        request.send_header("ETag", self.etag)
        request.end_headers()
        request.wfile.write(body[start:][: self.cut.pop(0)] if self.cut else body[start:])
        return None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "CHUNK", 100)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    served = Server()
    yield served
    served.http.shutdown()
    served.http.server_close()


@pytest.fixture
def edit(project: Path) -> Callable[..., None]:
    """Changes keys of a card in the project's manifest."""

    def change(source: str, **changes: object) -> None:
        path = project / "data" / "manifest.json"
        cards = json.loads(path.read_text())
        cards[source] |= changes
        path.write_text(json.dumps(cards))

    return change


@pytest.fixture
def png() -> bytes:
    """A grey image of 16x16."""
    file = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), 7, np.uint8)).save(file, "png")
    return file.getvalue()


@pytest.fixture
def zipped() -> Callable[[dict[str, bytes]], bytes]:
    """Makes a zip archive of members."""

    def make(members: dict[str, bytes]) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return file.getvalue()

    return make
