"""A web server for tests: ranges or none, passwords, tokens, and faults."""

from __future__ import annotations

import base64
import os
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WebServer(ThreadingHTTPServer):
    """Serves the files of a directory.

    Attributes:
        log: method, path and range of each request.
        sent: bytes of all bodies together.
        has_ranges: whether it answers with a part where one is asked for.
        password: what ``user:password`` must be, if any.
        token: what the parameter ``token`` must be, if any.
        faults: what happens to the next requests: a status, ``"cut"``, ``"slow"`` or nothing.
    """

    daemon_threads = True

    def __init__(self, directory: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.directory = directory
        self.log: list[tuple[str, str, str]] = []
        self.sent = 0
        self.has_ranges = True
        self.has_head = True
        self.password = ""
        self.token = ""
        self.faults: list[int | str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def handle_error(self, *arguments: Any) -> None:
        """Print nothing when a client goes away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        if self.server.has_head:
            self._answer(with_body=False)
        else:
            self._fail(405)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        place, _, query = self.path.partition("?")
        self.server.log.append((self.command, place, self.headers.get("Range", "")))
        fault = self.server.faults.pop(0) if self.server.faults and with_body else ""
        if isinstance(fault, int):
            return self._fail(fault)
        if fault == "slow":
            time.sleep(0.5)
        if not self._is_welcome(query):
            return self._fail(403)
        path = os.path.join(self.server.directory, urllib.parse.unquote(place).lstrip("/"))
        if not os.path.isfile(path):
            return self._fail(404)
        with open(path, "rb") as file:
            data = file.read()
        start, end, status = 0, len(data), 200
        wanted = self.headers.get("Range", "")
        if wanted and self.server.has_ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end, status = int(first), min(int(last) + 1, len(data)), 206
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", f'"{os.stat(path).st_mtime_ns:x}-{len(data)}"')
        self.end_headers()
        if with_body:
            body = data[start:end]
            if fault == "cut":
                body = body[: len(body) // 2]
                self.close_connection = True
            self.server.sent += len(body)
            self.wfile.write(body)
        return None

    def _is_welcome(self, query: str) -> bool:
        expected = base64.b64encode(self.server.password.encode()).decode()
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        token = dict(urllib.parse.parse_qsl(query)).get("token", "")
        return (not self.server.password or given == expected) and token == self.server.token

    def _fail(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def running_web_server(directory: str) -> Iterator[WebServer]:
    """Serve a directory from a thread of this process."""
    server = WebServer(directory)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
