"""Speaks as much of Hugging Face's hub and ModelScope as pulls need, and cuts or holds transfers."""

import hashlib
import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

REVISION = "5" * 40
_DEADLINE_S = 300
_PIECE_BYTES = 2**16


class Hub:
    """Serves the folders in `models` as repositories of PaddlePaddle; `sent` counts bytes by their file.

    The folder RapidOCR holds the files of RapidAI's repository. `resumes`: transfers begin where they are
    asked to. The first transfer of `cut` ends after three quarters; one of `held` stops there until
    `released` is set.
    """

    def __init__(self, models: Path) -> None:
        self.models = models
        self.sent: Counter[str] = Counter()
        self.resumed_at: dict[str, int] = {}
        self.resumes = True
        self.cut = ""
        self.held = ""
        self.is_holding = threading.Event()
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="hub")
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_DEADLINE_S)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        if path == "/":
            self._json({})
        elif match := re.fullmatch(r"/api/models/PaddlePaddle/([^/]+)(/tree/.*|/revision/.*)?", path):
            self._describe(match[1], is_tree=str(match[2]).startswith("/tree"))
        elif match := re.fullmatch(r"/api/v1/models/PaddlePaddle/([^/]+)/repo/files", path):
            self._describe_as_model_scope(match[1])
        elif match := re.fullmatch(r"/api/v1/models/PaddlePaddle/([^/]+)/repo", path):
            self._file(self.hub.models / match[1] / parse_qs(urlsplit(self.path).query)["FilePath"][0])
        elif match := re.fullmatch(r"/PaddlePaddle/([^/]+)/resolve/[^/]+/(.+)", path):
            self._file(self.hub.models / match[1] / match[2])
        elif match := re.fullmatch(r"/models/RapidAI/RapidOCR/resolve/[^/]+/.*/([^/]+)", path):
            self._file(self.hub.models / "RapidOCR" / match[1])
        else:
            self._json({"error": "no such page"}, 404)

    def _describe(self, name: str, *, is_tree: bool) -> None:
        folder = self.hub.models / name
        if not folder.is_dir():
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        files = [
            {
                "size": path.stat().st_size,
                "oid": _etag(path),
                "blobId": _etag(path),
                "type": "file",
                "path": path.name,
                "rfilename": path.name,
            }
            for path in sorted(folder.iterdir())
        ]
        about = {"id": f"PaddlePaddle/{name}", "sha": REVISION, "siblings": files}
        self._json(files if is_tree else about)

    def _describe_as_model_scope(self, name: str) -> None:
        files = [
            {
                "Path": path.name,
                "Name": path.name,
                "Type": "blob",
                "Size": path.stat().st_size,
                "Sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in sorted((self.hub.models / name).iterdir())
        ]
        self._json({"Code": 200, "Success": True, "Data": {"Files": files}})

    def _json(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        length = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        for name, value in (length | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        content = path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") :].split("-")[0])
        if not self.hub.resumes:
            start = 0
        if start >= len(content):
            self._json({"error": "no such range"}, 416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{_etag(path)}"')
        self.send_header("X-Repo-Commit", REVISION)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.hub.resumed_at[path.parent.name] = start
        self.end_headers()
        if self.command != "HEAD":
            self._send(content, start, path)

    def _send(self, content: bytes, start: int, path: Path) -> None:
        file = f"{path.parent.name}/{path.name}"
        end = len(content)
        if file in (self.hub.cut, self.hub.held) and not self.hub.sent[file]:
            end = end * 3 // 4
        for at in range(start, end, _PIECE_BYTES):
            piece = content[at : min(at + _PIECE_BYTES, end)]
            self.wfile.write(piece)
            self.hub.sent[file] += len(piece)
        if end == len(content):
            return
        if file == self.hub.held:
            self.hub.is_holding.set()
            self.hub.released.wait(_DEADLINE_S)
        self.close_connection = True


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
