"""Names that try to do harm: to a terminal, to a shell, to a page, to whatever makes paths or formats of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.support.handmade import HandmadeBundle, HandmadeTensor, floats, integers, strings
from tests.support.wire import bytes_field, varint_field

NAMES: dict[str, bytes] = {
    "terminal title": b"\x1b]0;title\x07",
    "clear screen": b"\x1b[2J\x1b[H",
    "colours": b"\x1b[31mred\x1b[0m",
    "8-bit control": b"\x9b31m",
    "8-bit control in UTF-8": "\x9b31m".encode(),
    "device query": b'\x1b[6n\x1bP$q"p\x1b\\',
    "hyperlink": b"\x1b]8;;http://example.org\x1b\\click\x1b]8;;\x1b\\",
    "right to left override": "exe\u202etxt".encode(),
    "isolates": "a\u2066b\u2067c\u2068d\u2069".encode(),
    "marks of direction": "\u200e\u200f\u061c".encode(),
    "zero width": "ze\u200bro\u200c\u200d\u2060\ufeff".encode(),
    "soft hyphen": "so\xadft".encode(),
    "nul": b"nul\0nul",
    "line feed": b"one\ntwo",
    "carriage return": b"shown\rhidden",
    "tab": b"\ttab",
    "backspaces": b"safe\b\b\b\bevil",
    "delete": b"\x7f",
    "separators": "line\u2028paragraph\u2029next\x85".encode(),
    "no UTF-8": b"no \xff\xfe UTF-8",
    "overlong": b"\xc0\xaf\xc0\xae",
    "surrogate": b"\xed\xa0\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "private use": "\ue000\U000f0000".encode(),
    "no character": "\ufdd0\U0001ffff".encode(),
    "tags": "\U000e0041\U000e007f".encode(),
    "parent": b"../../outside",
    "absolute": b"/absolute/name",
    "option": b"-rf",
    "long option": b"--force",
    "C format": b"%s%n%d",
    "Python format": b"{}{0.__class__}{{",
    "spreadsheet": b"=cmd|' /C calc'!A0",
    "script": b"<script>alert(1)</script>",
    "end of a script": b"</script><img src=x onerror=alert(1)>",
    "entity": b"&lt;&#x3c;",
    "template": b"{{data}}${x}",
    "command": b"$(touch outside)`touch outside`;touch outside|touch outside&",
    "quotes": b"'\"\\'\\\"",
    "JSON": b'"}],"x":[{"',
    "glob": b"*[!a]?",
    "expression": b"re:(a+)+$",
    "rename": b"a=b",
    "preset": b"norm",
    "port": b":0",
    "blank": b" ",
    "blanks": "\xa0\u3000\u2003".encode(),
    "invisible": "\u2800\u3164".encode(),
    "wide": ("漢" * 90).encode(),
    "right to left": "שלום/مرحبا".encode(),
    "joined emoji": "👩\u200d👩\u200d👧\u200d👦🏽".encode(),
    "combining": ("Z" + "\u0300\u0301\u0302" * 30).encode(),
    "letters": "ключ/ÅßĐ".encode(),
    "tf2 key": b"\x1b[1mw/.ATTRIBUTES/VARIABLE_VALUE",
    "optimizer": b"\x1b[1mw/.ATTRIBUTES/VARIABLE_VALUE/Adam",
    "slot": b"\x1b[1mw/.OPTIMIZER_SLOT/\x1b]0;o\x07/m/.ATTRIBUTES/VARIABLE_VALUE",
    "file": b"model.index",
    "traversal of Windows": b"..\\..\\C:\\con",
}
"""What each is, and the bytes of a key."""

PATHS: dict[str, bytes] = {
    "terminal title": b"\x1b]0;title\x07",
    "line feed": b"one\ntwo\r",
    "right to left override": "exe\u202etxt\u2066".encode(),
    "zero width": "\u200b\ufeff".encode(),
    "no UTF-8": b"\xff\x9b31m",
    "blank": b" ",
    "option": b"-rf",
    "format": b"%s{}{0}",
    "shell": b"$(touch outside);`touch outside`|&",
    "quotes": b"'\"\\",
    "glob": b"*?[a]",
    "spreadsheet": b"=cmd|' calc'!A0",
    "script": b"<script>alert(1)<",
    "letters": "漢字 🙂".encode(),
}
"""The same for names of files and directories, of which a bundle's prefix is made."""


def texts(names: Sequence[bytes] = tuple(NAMES.values())) -> list[str]:
    """Return names as this package gives them."""
    return [name.decode("utf-8", "surrogateescape") for name in names]


def decode_json_name(value: object) -> str:
    """Return the name that the command line's JSON stands for."""
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"]).decode("utf-8", "surrogateescape")
    assert isinstance(value, str)
    value.encode()
    return value


def hostile_tensors(factor: float = 1, step: int = 7) -> list[HandmadeTensor]:
    """Return a float32 tensor of every name, which loses something as float16, and strings and steps of bad names."""
    tensors = [floats(name, np.array([1, 1e-9, 6e-8]) * factor) for name in NAMES.values()]
    return [*tensors, strings(b"\x1b[1mstrings\n", list(NAMES.values())), integers(b"\x1b[1mstep\n", [step])]


def write_hostile_bundle(prefix: str | Path, factor: float = 1, step: int = 7) -> str:
    """Write a bundle of all hostile names, and return its prefix."""
    return HandmadeBundle(hostile_tensors(factor, step)).write(prefix)


def hostile_graph() -> bytes:
    """Return an object graph: local names, slots, keys and own names that all are hostile.

    Local names are text that must be UTF-8, so names that are not are left out.
    """
    names = [name for name in NAMES.values() if _is_text(name)]
    variables = [
        bytes_field(2, bytes_field(1, b"VARIABLE_VALUE") + bytes_field(2, name) + bytes_field(3, name))
        for name in names
    ]
    links = [bytes_field(1, varint_field(1, at) + bytes_field(2, name)) for at, name in enumerate(names, 1)]
    again = [bytes_field(1, varint_field(1, 1) + bytes_field(2, name + b"2")) for name in names]
    slots = [
        bytes_field(3, varint_field(1, at) + bytes_field(2, name) + varint_field(3, 1))
        for at, name in enumerate(names, 1)
    ]
    nodes = [b"".join([*links, *again]), *variables[:-1], variables[-1] + b"".join(slots)]
    return b"".join(bytes_field(1, node) for node in nodes)


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def tree_of(*roots: str | Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and contents of everything below some directories, by path; links are not followed."""
    found: dict[str, tuple[int, bytes]] = {}
    for root in roots:
        for folder, directories, files in os.walk(os.fsencode(root)):
            for name in directories + files:
                path = os.path.join(folder, name)
                mode = os.lstat(path).st_mode
                found[os.fsdecode(path)] = (mode, _contents(path))
    return found


def _contents(path: bytes) -> bytes:
    if os.path.islink(path):
        return os.readlink(path)
    return Path(os.fsdecode(path)).read_bytes() if os.path.isfile(path) else b""
