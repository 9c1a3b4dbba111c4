"""What a report's page shows without JavaScript: headings, sizes, totals, and the worst tensors as rows."""

from __future__ import annotations

import heapq
import html
import math
from collections.abc import Iterable, Mapping
from typing import Any

from tfbundle.format.readable import escape, format_nbytes, plural
from tfbundle.storage import paths

NUM_WORST = 10

_COLUMNS = (
    ("name", "Tensor", "wide left"),
    ("dtype", "Dtype", "dtype left"),
    ("elements", "Values", ""),
    ("overflow", "Overflow", ""),
    ("underflow", "Became zero", ""),
    ("subnormal", "Sub\u00adnormal", ""),
    ("inf", "Inf before", "thin"),
    ("nan", "NaN before", "thin"),
    ("largest", "Largest", ""),
    ("max_absolute", "Largest error", ""),
    ("max_relative", "Largest relative", ""),
    ("rms", "RMS error", ""),
    ("exponents", "Magnitudes", "spark"),
)
_ACTIONS = {"cast": "cast", "keep": "kept", "copy": "copied", "drop": "dropped"}
_ZONES = {"overflow": "overflow", "underflow": "zero", "subnormal": "subnormal", "inf": "overflow", "nan": "overflow"}
"""How a count that is not zero is coloured."""
_NOTHING = '<td class="none">\u2013</td>'
_FIGURES = (
    ("elements", "values cast"),
    ("overflow", "overflowed"),
    ("underflow", "became zero"),
    ("subnormal", "became subnormal"),
    ("inf", "infinities before"),
    ("nan", "NaN before"),
    ("largest", "largest magnitude"),
    ("max_absolute", "largest error"),
    ("max_relative", "largest relative error"),
    ("rms", "root mean square error"),
)


def format_text(text: str) -> str:
    r"""Return text as HTML that shows it and nothing else, with escapes for what is not printable.

    Example:
        >>> print(format_text('<b>"\x1b'))
        &lt;b&gt;&quot;\x1b
    """
    return html.escape(escape(text))


def format_number(value: float) -> str:
    """Return a count with separators, or a float with five digits at most.

    Example:
        >>> format_number(1234567), format_number(65504.0), format_number(6.1035e-05)
        ('1,234,567', '65504', '6.104e-5')
    """
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{value}"
    if value == 0 or 1e-3 <= abs(value) < 99999.5:
        return f"{value:.5g}"
    digits, _, exponent = f"{value:.3e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def format_parts(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the pieces of HTML that the page's template has places for, by the places' names.

    Args:
        report: the plain form of a report, as ``format_page`` takes it.

    Example:
        >>> format_parts({
        ...     "source": "a/b", "target": "", "dry_run": False, "source_nbytes": 8, "target_nbytes": 4,
        ...     "totals": {"elements": 0}, "tensors": [], "notes": ["<>"],
        ... })["notes"]
        '<ul class="notes"><li>&lt;&gt;</li></ul>'
    """
    worst = heapq.nsmallest(NUM_WORST, report["tensors"], key=_badness)
    return {
        "kind": _kind(report),
        "title": " → ".join(format_text(path) for path in (report["source"], report["target"]) if path),
        "heading": _heading(report),
        "sizes": _sizes(report),
        "share": f"{_share(report):.2f}",
        "actions": _actions(report["tensors"]),
        "totals": _totals(report["totals"]),
        "notes": _notes(report["notes"]),
        "count": _count(len(worst), len(report["tensors"])),
        "columns": "\n".join(_header(*column) for column in _COLUMNS),
        "rows": "\n".join(_row(tensor) for tensor in worst),
    }


def format_labels() -> str:
    """Return the style that puts its column's label into each cell where the table is drawn as cards.

    Example:
        >>> format_labels().splitlines()[1]
        'tbody td:nth-child(2)::before{content:"Dtype"}'
    """
    rules = [
        f'tbody td:nth-child({number})::before{{content:"{label}"}}'
        for number, (_, label, _) in enumerate(_COLUMNS, 1)
        if number > 1
    ]
    return "\n".join(["@media screen and (max-width:760px){", *rules, "}"])


def _badness(tensor: Mapping[str, Any]) -> tuple[float, ...]:
    """Return a key that sorts the worst tensors first, and those that were not cast last."""
    numbers = _numbers(tensor["stats"])
    if not numbers:
        return (1,)
    relative = numbers.get("max_relative", -1.0)
    return (
        0, -numbers["overflow"], -numbers["underflow"], -numbers["subnormal"], not math.isnan(relative),
        0.0 if math.isnan(relative) else -relative,
    )  # fmt: skip


def _numbers(stats: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return statistics and deviation together."""
    return {**(stats or {}), **((stats or {}).get("deviation") or {})}


def _kind(report: Mapping[str, Any]) -> str:
    if not report["target"]:
        return "Survey of a checkpoint"
    return "Cast report: a dry run, nothing was written" if report["dry_run"] else "Cast report"


def _heading(report: Mapping[str, Any]) -> str:
    arrow = '<span class="to">→</span>'
    return f" {arrow} ".join(_path(path) for path in (report["source"], report["target"]) if path)


def _path(path: str) -> str:
    folder, name = paths.split(path)
    ahead = path[: len(path) - len(name)] if name and folder else ""
    return f'<bdi><span class="folder">{format_text(ahead)}</span>{format_text(path[len(ahead) :])}</bdi>'


def _share(report: Mapping[str, Any]) -> float:
    return min(100.0, 100 * report["target_nbytes"] / report["source_nbytes"]) if report["source_nbytes"] else 0.0


def _sizes(report: Mapping[str, Any]) -> str:
    source, target = report["source_nbytes"], report["target_nbytes"]
    text = format_nbytes(source)
    if not target:
        return text
    percent = f", {100 * target / source:.0f} % of it" if source else ""
    return f"{text} → <b>{format_nbytes(target)}</b>{percent}"


def _actions(tensors: Iterable[Mapping[str, Any]]) -> str:
    counts = dict.fromkeys(_ACTIONS, 0)
    for tensor in tensors:
        counts[tensor["action"]] += 1
    texts = [f"{plural(count, 'tensor')} {_ACTIONS[action]}" for action, count in counts.items() if count]
    return ", ".join(texts) or "no tensors"


def _totals(totals: Mapping[str, Any]) -> str:
    numbers = _numbers(totals)
    if not numbers["elements"]:
        return '<p class="lead">No values were cast, so there is nothing to count.</p>'
    figures = [_figure(field, label, numbers[field]) for field, label in _FIGURES if field in numbers]
    return f'<dl class="figures">\n{"".join(figures)}</dl>'


def _figure(field: str, label: str, value: float) -> str:
    shown = f' class="{_ZONES[field]}"' if field in _ZONES and value else ""
    return f"<div><dt>{label}</dt><dd{shown}>{format_number(value)}</dd></div>\n"


def _notes(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{format_text(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _count(num_shown: int, num_tensors: int) -> str:
    if num_shown == num_tensors:
        return plural(num_tensors, "tensor")
    return f"The worst {num_shown} of {num_tensors:,}; with JavaScript the page lists them all"


def _header(field: str, label: str, classes: str) -> str:
    shown = f' class="{classes}"' if classes else ""
    return f'<th scope="col" role="columnheader" data-key="{field}"{shown}><button type="button">{label}</button></th>'


def _row(tensor: Mapping[str, Any]) -> str:
    numbers = _numbers(tensor["stats"])
    cells = [_cell(field, numbers) for field, _, _ in _COLUMNS[2:-1]]
    return (
        f'<tr><th scope="row" class="left"><bdi>{_breakable(tensor["name"])}</bdi></th>'
        f'<td class="left dtype">{format_text(_dtypes(tensor))}</td>{"".join(cells)}'
        f"{_NOTHING}</tr>"
    )


def _cell(field: str, numbers: Mapping[str, Any]) -> str:
    if field not in numbers:
        return _NOTHING
    style = _ZONES.get(field) if numbers[field] else "quiet"
    shown = f' class="{style}"' if style else ""
    return f"<td{shown}>{format_number(numbers[field])}</td>"


def _breakable(name: str) -> str:
    return format_text(name).replace("/", "/<wbr>")


def _dtypes(tensor: Mapping[str, Any]) -> str:
    source, target = tensor["source_dtype"], tensor["target_dtype"]
    if tensor["action"] != "cast" and target in ("", source):
        return f"{source}, {_ACTIONS[tensor['action']]}"
    return f"{source} → {target}"
