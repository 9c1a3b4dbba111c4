from __future__ import annotations

import json
import math

import pytest

from tfbundle.cli.output import print_json, print_table


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([("a", "1", "x"), ("bcd", "1,000", ""), ("", "", "long one")], right=(1,))
    assert capsys.readouterr().out == "a        1  x\nbcd  1,000\n            long one\n"


def print_and_parse(value: object, capsys: pytest.CaptureFixture[str]) -> object:
    print_json(value)
    output = capsys.readouterr().out
    assert output.isascii()
    return json.loads(output, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 2.5, None, True, "x"]}, {"a": [1, 2.5, None, True, "x"]}),
        ((1, (2, 3)), [1, [2, 3]]),
        ([math.nan, math.inf, -math.inf], ["nan", "inf", "-inf"]),
        (1 + 2j, [1.0, 2.0]),
        (complex(math.nan, 0), ["nan", 0.0]),
        (b"text", "text"),
        (b"\xff\n", {"hex": "ff0a"}),
        ("w\udcff", {"hex": "77ff"}),
        ("\x1b\u202e漢", "\x1b\u202e漢"),
        (2**70, 2**70),
    ],
)
def test_json(value: object, expected: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_and_parse(value, capsys) == expected
