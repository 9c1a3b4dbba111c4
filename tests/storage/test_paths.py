from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbundle.storage import paths

LOCAL = [
    "",
    "a",
    "/",
    "/a",
    "a/b",
    "/a/b/",
    "./a",
    "dir/.index",
    "a:/b",
    "C:\\x",
    "http:/x",
    "://x",
    "1s://x",
    "./s3://x",
]


@pytest.mark.parametrize("path", LOCAL)
def test_paths_of_the_system_are_treated_as_by_os(path: str) -> None:
    assert not paths.is_url(path)
    assert paths.split(path) == os.path.split(path)
    assert (paths.dirname(path), paths.basename(path)) == os.path.split(path)
    assert paths.join(path, "x", "y") == os.path.join(path, "x", "y")
    assert paths.is_absolute(path) == os.path.isabs(path)
    assert paths.ends_as_directory(path) == path.endswith(os.sep)
    assert paths.resolve(path) == os.path.realpath(path)
    assert paths.normalize(path) == os.path.normpath(path)
    assert paths.parent(path) == os.path.join(path, os.pardir)


@pytest.mark.parametrize(
    ("url", "directory", "name"),
    [
        ("s3://bucket/dir/model", "s3://bucket/dir", "model"),
        ("s3://bucket/dir/", "s3://bucket/dir", ""),
        ("s3://bucket/model", "s3://bucket", "model"),
        ("s3://bucket", "s3://", "bucket"),
        ("memory://model", "memory://", "model"),
        ("memory:///model", "memory://", "model"),
        ("simplecache::s3://bucket/model", "simplecache::s3://bucket", "model"),
        ("git+ssh://host/a", "git+ssh://host", "a"),
    ],
)
def test_urls(url: str, directory: str, name: str) -> None:
    assert paths.is_url(url)
    assert paths.is_absolute(url)
    assert paths.split(url) == (directory, name)
    assert paths.normalize(url) == url
    assert paths.ends_as_directory(url) == (not name)


@given(st.text("ab./?=", max_size=8), st.text("ab.", min_size=1, max_size=4))
def test_joined_paths_come_apart_again(directory: str, name: str) -> None:
    url = f"s3://bucket/{directory}"
    assert paths.split(paths.join(url, name)) == (url.rstrip("/"), name)


def test_joining() -> None:
    assert paths.join("s3://b/d", "") == "s3://b/d/"
    assert paths.join("s3://b/d/", "x", "y") == "s3://b/d/x/y"
    assert paths.join("memory://", "x") == "memory://x"
    assert paths.join("/here", "gs://b/x") == "gs://b/x"
    assert paths.parent("s3://b/d/") == "s3://b"
    assert paths.resolve("s3://b/d/") == "s3://b/d"
    assert paths.protocol("a::s3://b") == "a::s3"
