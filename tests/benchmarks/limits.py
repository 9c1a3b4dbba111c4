"""What is expected of the figures, at full scale. Figures without a limit are only shown."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.contenders import (
    ASTYPE,
    CAST_1,
    CAST_2,
    CP,
    HALF_CASTER,
    HALVE_1,
    HALVE_2,
    HELP,
    HERE_1,
    IMPORT_HALVE,
    IMPORT_TFBUNDLE,
    IMPORTS,
    LOOK_UP,
    LS,
    NUMPY_CAST,
    ON_1,
    ON_2,
    TF_LIST,
    VERIFY,
    Contender,
)
from tests.benchmarks.figures import (
    BytesPerEntry,
    Figure,
    Key,
    MemoryAbove,
    MicrosecondsPerEntry,
    Peak,
    PerByteRatio,
    Ratio,
)
from tests.benchmarks.scenarios import TF_ROUTES


@dataclass(frozen=True)
class Limit:
    """A figure, and how large or small it may be.

    Attributes:
        scenario: whose samples it is computed from.
        what: its name in reports.
        figure: computes it.
        at_most: the largest value that is fine.
        at_least: the smallest.
        aim: what it is meant to become.
    """

    scenario: str
    what: str
    figure: Figure
    at_most: float | None = None
    at_least: float | None = None
    aim: float | None = None

    def judge(self, value: float | None) -> str:
        """Return a verdict, which is empty where there is no limit.

        Example:
            >>> Limit("mixed", "", Peak(("", "")), at_most=2).judge(2.5)
            'TOO MUCH'
        """
        if value is None:
            return "not measured"
        if self.at_most is not None and value > self.at_most:
            return "TOO MUCH"
        if self.at_least is not None and value < self.at_least:
            return "TOO LITTLE"
        return "" if self.at_most is self.at_least is None else "ok"


def _mixed(contender: Contender) -> Key:
    return "mixed", contender.name


def _on(name: str, *contenders: Contender) -> tuple[Key, ...]:
    return tuple((name, contender.name) for contender in contenders)


def _ratio(over: Key, under: Key) -> Ratio:
    return Ratio((over,), under)


def _speedup(data: str) -> Ratio:
    return _ratio((data, NUMPY_CAST), (data, HALF_CASTER))


def _startup(contender: Contender) -> Ratio:
    return _ratio(("", contender.name), ("", IMPORTS.name))


def _memory(name: str, contender: Contender) -> MemoryAbove:
    return MemoryAbove((name, contender.name), (name, IMPORTS.name))


def _per_entry(contender: Contender) -> tuple[MicrosecondsPerEntry, BytesPerEntry]:
    run, base = _on("million", contender, IMPORTS)
    return MicrosecondsPerEntry(run, base), BytesPerEntry(run, base)


def _shown_per_entry(contender: Contender) -> tuple[Limit, ...]:
    return tuple(Limit("index", f"{contender.name}, for each entry", figure) for figure in _per_entry(contender))


LIMITS = (
    Limit("kernel", "astype / HalfCaster, normal", _speedup("normal"), at_least=2.5),
    Limit("kernel", "astype / HalfCaster, weights", _speedup("weights")),
    Limit("kernel", "astype / HalfCaster, subnormal", _speedup("subnormal"), at_least=20),
    Limit("kernel", "astype / HalfCaster, underflowing", _speedup("underflowing"), at_least=20),
    Limit("kernel", "astype / HalfCaster, overflowing", _speedup("overflowing"), at_least=20),
    Limit("kernel", "astype / HalfCaster, NaN in every 64", _speedup("NaN in every 64")),
    Limit("kernel", "astype / HalfCaster, random bits", _speedup("random bits")),
    Limit("workers", "one Dask worker / two", _ratio(("a checkpoint", ON_1), ("a checkpoint", ON_2))),
    Limit("workers", "--jobs 1 / two Dask workers", _ratio(("a checkpoint", HERE_1), ("a checkpoint", ON_2))),
    Limit("startup", "import tfbundle / bare imports", _startup(IMPORT_TFBUNDLE), at_most=1.2),
    Limit("startup", "import tfbundle, open, halve / bare imports", _startup(IMPORT_HALVE)),
    Limit("startup", "tfbundle --help / bare imports", _startup(HELP), at_most=0.6),
    Limit("mixed", "halve --jobs 1 / cp", _ratio(_mixed(HALVE_1), _mixed(CP)), at_most=2.3, aim=1.8),
    Limit("mixed", "halve --jobs 2 / cp", _ratio(_mixed(HALVE_2), _mixed(CP)), at_most=1.45, aim=1.2),
    Limit("mixed", "best TF route / halve --jobs 1", Ratio(_on("mixed", *TF_ROUTES), _mixed(HALVE_1)), at_least=6.5),
    Limit("mixed", "best TF route / halve --jobs 2", Ratio(_on("mixed", *TF_ROUTES), _mixed(HALVE_2)), at_least=10),
    Limit("mixed", "plain astype pipeline / halve --jobs 1", _ratio(_mixed(ASTYPE), _mixed(HALVE_1))),
    Limit("mixed", "memory of halve --jobs 1 above imports and index", _memory("mixed", HALVE_1), at_most=24),
    Limit("mixed", "memory of halve --jobs 2 above imports and index", _memory("mixed", HALVE_2), at_most=48),
    Limit("adam", "adam / mixed, --jobs 1", _ratio(("adam", CAST_1.name), _mixed(HALVE_1)), at_most=1.15),
    Limit("adam", "adam / mixed, --jobs 2", _ratio(("adam", CAST_2.name), _mixed(HALVE_2)), at_most=1.15),
    Limit("adam", "best TF route / halve --jobs 1", Ratio(_on("adam", *TF_ROUTES), ("adam", CAST_1.name))),
    Limit("adam", "plain astype pipeline / halve --jobs 1", _ratio(("adam", ASTYPE.name), ("adam", CAST_1.name))),
    Limit("many", "many / one, --jobs 1", _ratio(("many", HALVE_1.name), ("one", HALVE_1.name)), at_most=1.15),
    Limit("many", "many / one, --jobs 2", _ratio(("many", HALVE_2.name), ("one", HALVE_2.name)), at_most=1.15),
    Limit(
        "eight",
        "cost of a byte / mixed, --jobs 1",
        PerByteRatio(("eight", HALVE_1.name), _mixed(HALVE_1)),
        at_most=1.25,
    ),
    Limit(
        "eight",
        "cost of a byte / mixed, --jobs 2",
        PerByteRatio(("eight", HALVE_2.name), _mixed(HALVE_2)),
        at_most=1.25,
    ),
    Limit("eight", "memory of halve --jobs 1 above imports and index", _memory("eight", HALVE_1), at_most=24),
    Limit("eight", "memory of halve --jobs 2 above imports and index", _memory("eight", HALVE_2), at_most=48),
    Limit("index", "TF list_variables / tfbundle ls", Ratio(_on("million", TF_LIST), ("million", LS.name)), at_least=3),
    Limit("index", "memory of tfbundle ls", Peak(("million", LS.name)), at_most=600),
    *(limit for contender in (LS, VERIFY, HALVE_1, LOOK_UP) for limit in _shown_per_entry(contender)),
)
