"""The README's examples of clusters."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parent.parent.parent / "README.md"
ADDRESS = "tcp://10.0.0.1:8786"


def find_example(word: str) -> str:
    """Return the script in the README that has a word."""
    (found,) = (block for block in re.findall(r"^```py\n(.*?)^```$", README.read_text(), re.M | re.S) if word in block)
    return str(found)
