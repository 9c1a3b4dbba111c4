from __future__ import annotations

import pickle

import pytest

from tfbundle.storage.credentials import Credentials, Keyring, take_out


@pytest.mark.parametrize(
    ("url", "clean", "credentials"),
    [
        ("https://host/a", "https://host/a", Credentials()),
        ("https://me:pw@host/a", "https://host/a", Credentials("me:pw")),
        ("https://me:p@w@host/a", "https://host/a", Credentials("me:p@w")),
        ("https://host/a?x=1&y=2", "https://host/a", Credentials("", "x=1&y=2")),
        ("https://me:pw@host/a?x=1", "https://host/a", Credentials("me:pw", "x=1")),
        ("https://me:pw@host", "https://host", Credentials("me:pw")),
        ("abfs://container@account/a", "abfs://container@account/a", Credentials()),
        ("s3://bucket/what?.index", "s3://bucket/what?.index", Credentials()),
        ("s3://bucket/a@b:c/d", "s3://bucket/a@b:c/d", Credentials()),
    ],
)
def test_taking_out_and_putting_back(url: str, clean: str, credentials: Credentials) -> None:
    assert take_out(url) == (clean, credentials)
    assert credentials.put_back(clean) == url


@pytest.mark.parametrize("ending", ["", ".index", ".meta", ".data-00000-of-00002"])
def test_they_open_the_files_of_a_checkpoint_and_its_directory(ending: str) -> None:
    keyring = Keyring()
    assert keyring.admit(f"https://h/d/model{ending}?t=1") == f"https://h/d/model{ending}"
    for name in ("model.index", "model.data-00001-of-00002", "checkpoint", ""):
        assert keyring.unlock(f"https://h/d/{name}") == f"https://h/d/{name}?t=1"
    for other in ("https://h/e/model.index", "https://i/d/model.index", "http://h/d/model.index"):
        assert keyring.unlock(other) == other


def test_two_checkpoints_of_one_directory() -> None:
    keyring = Keyring()
    keyring.admit("https://h/d/a?t=1")
    keyring.admit("https://h/d/b?t=2")
    keyring = pickle.loads(pickle.dumps(keyring))
    assert keyring.unlock("https://h/d/a.index") == "https://h/d/a.index?t=1"
    assert keyring.unlock("https://h/d/b.index") == "https://h/d/b.index?t=2"


def test_hiding() -> None:
    keyring = Keyring()
    keyring.admit("https://me:pw@h/d/a?t=1")
    assert keyring.hide("no t=1, no me:pw, no pw") == "no ***, no ***, no ***"
