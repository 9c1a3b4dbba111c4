"""What a URL may hold that nobody else should read: a password before ``@``, a token after ``?``.

They are taken out where a path enters the package, and put back where a file is asked for, so that no message, report
or file that is written can have them.
"""

from __future__ import annotations

from typing import NamedTuple

_ENDINGS = (".index", ".meta")


class Credentials(NamedTuple):
    """What was taken out of a URL.

    Attributes:
        user: name and password, without the ``@`` after them.
        query: what stood after the ``?``.
    """

    user: str = ""
    query: str = ""

    def put_back(self, url: str) -> str:
        """Return a URL with them in their places."""
        start, mark, rest = url.partition("://")
        user = f"{self.user}@" if self.user else ""
        query = f"?{self.query}" if self.query else ""
        return f"{start}{mark}{user}{rest}{query}"


def take_out(url: str) -> tuple[str, Credentials]:
    """Return a URL without its credentials, and these.

    Example:
        >>> take_out("https://me:secret@host/model.index?token=abc")
        ('https://host/model.index', Credentials(user='me:secret', query='token=abc'))
    """
    start, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    user, _, name = host.rpartition("@")
    if ":" not in user:  # as the container in abfs://container@account/path
        user, name = "", host
    rest, query = f"{name}{slash}{path}", ""
    if "=" in rest.partition("?")[2]:
        rest, _, query = rest.partition("?")
    return f"{start}{mark}{rest}", Credentials(user, query)


class Keyring:
    """Credentials by the paths they came with. Picklable."""

    def __init__(self) -> None:
        self._known: dict[str, Credentials] = {}

    def admit(self, url: str) -> str:
        """Return a URL without its credentials, which are kept for it, its directory and the files beside it."""
        clean, credentials = take_out(url)
        if credentials != Credentials():
            stem = next((clean.removesuffix(end) for end in _ENDINGS if clean.endswith(end)), clean)
            stem = stem.partition(".data-")[0]
            self._known[stem] = credentials
            self._known.setdefault(clean.rpartition("/")[0], credentials)
        return clean

    def unlock(self, url: str) -> str:
        """Return a URL with the credentials that were kept for it, or for where it lies."""
        found = [start for start in self._known if url.startswith(start)]
        return self._known[max(found, key=len)].put_back(url) if found else url

    def hide(self, text: str) -> str:
        """Return a text without any of the credentials."""
        for credentials in self._known.values():
            for secret in filter(None, (credentials.query, credentials.user, credentials.user.partition(":")[2])):
                text = text.replace(secret, "***")
        return text
