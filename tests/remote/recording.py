"""Around a web application: a log of all requests, and faults where a test wants them."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

CONTROL = "/_control"


def _error(code: str, message: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()


_ANSWERS = {
    "503": ("503 Slow Down", _error("SlowDown", "Please reduce your request rate.")),
    "500": ("500 Internal Server Error", _error("InternalError", "We encountered an internal error.")),
    "403": ("403 Forbidden", _error("AccessDenied", "Access Denied")),
}


class Recorder:
    """Logs requests of an application and lets some of them fail.

    A fault is a dictionary: ``method`` and ``contains`` choose requests, ``skip`` leaves out the first of them,
    ``times`` says how many it concerns; ``do`` is a status, ``"cut"`` for a response that ends too early, ``"slow"``,
    ``"kill"`` for SIGKILL to process ``pid`` before the request is carried out, ``"kill after"`` for afterwards,
    ``"term"`` for SIGTERM meanwhile.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._log: list[dict[str, Any]] = []
        self._faults: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == CONTROL:
            return self._control(environ, start_response)
        entry = {
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"],
            "query": environ.get("QUERY_STRING", ""),
            "range": environ.get("HTTP_RANGE", ""),
            "received": int(environ.get("CONTENT_LENGTH") or 0),
            "sent": 0,
        }
        with self._lock:
            self._log.append(entry)
            fault = self._choose(entry)
        do = fault["do"] if fault else ""
        if do == "kill":
            return self._kill(fault, environ, start_response)
        if do in _ANSWERS:
            _drain(environ)
            status, text = _ANSWERS[do]
            start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))])
            return [text if entry["method"] != "HEAD" else b""]
        if do == "slow":
            time.sleep(0.5)
        if do == "term":
            os.kill(fault["pid"], signal.SIGTERM)
            time.sleep(0.2)
        body = self._application(environ, start_response)
        if do == "kill after":
            list(body)
            os.kill(fault["pid"], signal.SIGKILL)
            _wait_for_end(fault["pid"])
        return self._count(body, entry, cut=do == "cut")

    def _choose(self, entry: dict[str, Any]) -> dict[str, Any]:
        for fault in self._faults:
            if fault.get("method", entry["method"]) != entry["method"]:
                continue
            if fault.get("contains", "") not in f"{entry['path']}?{entry['query']}":
                continue
            if fault.get("skip", 0) > 0:
                fault["skip"] -= 1
                continue
            if fault.get("times", 1) > 0:
                fault["times"] = fault.get("times", 1) - 1
                return fault
        return {}

    def _kill(self, fault: dict[str, Any], environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        os.kill(fault["pid"], signal.SIGKILL)
        _wait_for_end(fault["pid"])
        start_response("500 Killed", [("Content-Length", "0")])
        return [b""]

    def _count(self, body: Iterable[bytes], entry: dict[str, Any], *, cut: bool) -> Iterator[bytes]:
        for piece in body:
            if cut:
                entry["sent"] += len(piece) // 2
                yield piece[: len(piece) // 2]
                raise ConnectionResetError("cut on purpose")
            entry["sent"] += len(piece)
            yield piece

    def _control(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        order = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
        with self._lock:
            answer = json.dumps(self._log).encode()
            if order.get("reset"):
                self._log = []
                self._faults = order.get("faults", [])
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]


def _drain(environ: dict[str, Any]) -> None:
    rest = int(environ.get("CONTENT_LENGTH") or 0)
    while rest and (piece := environ["wsgi.input"].read(min(rest, 1 << 20))):
        rest -= len(piece)


def _wait_for_end(pid: int) -> None:
    """Wait until a process does nothing any more, though its parent may not have asked for its status yet."""
    for _ in range(500):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] in "ZX":
                    return
        except FileNotFoundError:
            return
        time.sleep(0.01)
