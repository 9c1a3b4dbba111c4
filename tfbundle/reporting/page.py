"""A report as one HTML page that needs nothing else: no network, no library, and no JavaScript for what matters most.

``page.html`` is the template; ``page.css`` and ``page.js`` are put into it, and the tensors as JSON, from which the
script draws tables and histograms. Whatever comes from a checkpoint is escaped where it is text and JSON where it is
data, and the script makes nothing but text of it. A content security policy lets the browser run this script, known
by its hash, and load nothing.

Source: W3C, Content Security Policy Level 3 (hashes); HTML Standard, "restrictions for contents of script elements".
"""

from __future__ import annotations

import base64
import hashlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache
from typing import Any

from tfbundle.errors import BundleExistsError, BundleNotFoundError, UnsupportedError
from tfbundle.format.naming import INDEX_SUFFIX, STATE_FILENAME, strip_data_suffix
from tfbundle.reporting.page_data import iter_data
from tfbundle.reporting.page_text import format_labels, format_parts
from tfbundle.storage import paths
from tfbundle.storage.anywhere import Anywhere
from tfbundle.storage.base import Storage, staging

_START = b"<!doctype html>"
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_INDENT = re.compile(r"^ *(?://|/\*\*).*\n|^ +", re.MULTILINE)
_SPACE = re.compile(r"\s*([{};,])\s*|(?<=[a-z]:) ")
_POLICY = "default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"


def format_page(report: Mapping[str, Any]) -> str:
    """Return the whole page.

    Args:
        report: the plain form of a report: what ``CastReport.to_dict`` returns. Each tensor's ``stats``, and the
            ``totals``, may hold a ``"deviation"``: a mapping with ``compared``, ``max_absolute``, ``max_relative``,
            ``rms``, ``zeros``, ``first_exponent`` and ``exponents``; without it there are no histograms. The target is
            empty where only a survey was made.

    Example:
        >>> report = {"source": "a", "target": "b", "dry_run": False, "source_nbytes": 8, "target_nbytes": 4}
        >>> page = format_page({**report, "totals": {"elements": 0}, "tensors": [], "notes": []})
        >>> "<title>a → b</title>" in page
        True
    """
    return "".join(iter_page(report))


def iter_page(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the page in pieces, none of which grows with the number of tensors.

    The tensors are gone through a few times, so they must be a sequence or the like.

    Args:
        report: as ``format_page`` takes it.

    Example:
        >>> report = {"source": "a", "target": "b", "dry_run": False, "source_nbytes": 8, "target_nbytes": 4}
        >>> pieces = iter_page({**report, "totals": {"elements": 0}, "tensors": [], "notes": []})
        >>> next(pieces)[:15]
        '<!doctype html>'
    """
    style, script = _SPACE.sub(r"\1", _read_part("page.css")) + format_labels(), _read_part("page.js")
    policy = _POLICY.format(style=_hash_source(style), script=_hash_source(script))
    parts = {**format_parts(report), "style": style, "script": script, "policy": policy}
    before, after = _read_part("page.html").split("{{data}}")
    yield _fill(before, parts)
    yield from iter_data(report)
    yield _fill(after, parts)


def write_page(path: str, report: Mapping[str, Any], /, *, storage: Storage | None = None) -> None:
    """Write the page to a file, which takes the place of one that is there, and is whole or not there at all.

    Args:
        path: where to.
        report: as ``format_page`` takes it.
        storage: where files live; wherever the path leads by default.

    Raises:
        BundleExistsError: what is at ``path`` is no page: a directory, a device, a file of another kind; or its name is
            that of a checkpoint's file.
        OSError: the machine refuses.

    Example:
        >>> import os, tempfile
        >>> report = {"source": "a", "target": "b", "dry_run": False, "source_nbytes": 8, "target_nbytes": 4}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "report.html")
        ...     write_page(path, {**report, "totals": {"elements": 0}, "tensors": [], "notes": []})
        ...     os.listdir(folder)
        ['report.html']
    """
    storage = storage or Anywhere()
    path = storage.admit(path)
    storage.check_writable(path)
    _check_replaceable(storage, path)
    with staging(storage, replace=True) as stage:
        file, end = stage.create(path), 0
        for piece in iter_page(report):
            data = piece.encode()
            file.write_at(end, data)
            end += len(data)
        stage.publish(path)


def check_place(path: str, /, *, storage: Storage | None = None) -> None:
    """Check that a page can be written to a file, before the work that it is to tell of.

    Raises:
        BundleExistsError, OSError: as ``write_page``.

    Example:
        >>> check_place("/")
        Traceback (most recent call last):
        tfbundle.errors.BundleExistsError: /: there is something that is no file, and a report does not replace it
    """
    storage = storage or Anywhere()
    path = storage.admit(path)
    storage.check_writable(path)
    _check_replaceable(storage, path)
    with staging(storage, replace=True) as stage:
        stage.create(path)


def _check_replaceable(storage: Storage, path: str) -> None:
    """Check that nothing is there, or another page: a slip must not cost a checkpoint, nor one that is being made."""
    name = paths.basename(path).lower()
    if name == STATE_FILENAME or name.endswith(INDEX_SUFFIX) or strip_data_suffix(name) is not None:
        raise BundleExistsError("a report does not take the name of a checkpoint's file", path)
    try:
        with closing(storage.open(path)) as file:
            start = file.read(0, min(len(_START), file.nbytes))
    except (BundleNotFoundError, PermissionError):
        return  # nothing is there, or a file that can be replaced though not read
    except UnsupportedError:
        raise BundleExistsError("there is something that is no file, and a report does not replace it", path) from None
    if start.lower() not in (b"", _START):
        raise BundleExistsError("there is a file that is no HTML page, and a report does not replace it", path)


@cache
def _read_part(name: str) -> str:
    """Return a file beside this module, without its indentation and comment lines."""
    data = pkgutil.get_data(__name__, name) or b""
    return _INDENT.sub("", data.decode())


def _hash_source(text: str) -> str:
    """Return the term of a content security policy that allows an inline element with this text."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _fill(template: str, parts: Mapping[str, str]) -> str:
    """Put the parts into their places, all at once: what looks like a place within a part stays as it is."""
    return _PLACE.sub(lambda match: parts[match[1]], template)
