"""Who runs on which input, and in the same rounds as whom."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.contenders import (
    ASTYPE,
    CAST_1,
    CAST_2,
    CP,
    EXPORT_NPZ,
    EXPORT_SAFETENSORS,
    EXPORT_SAFETENSORS_2,
    HALVE_1,
    HALVE_2,
    HALVE_STEP,
    HELP,
    IMPORT_HALVE,
    IMPORT_TFBUNDLE,
    IMPORTS,
    LOOK_UP,
    LS,
    NOTHING,
    NUMPY_CAST,
    ON_1,
    PLAN_ALL,
    READER,
    TF_LIST,
    TF_LOAD,
    TF_NUMPY,
    TF_RESTORE,
    TF_SAFETENSORS,
    VERIFY,
    Contender,
)
from tests.benchmarks.sizes import Scale

TF_ROUTES = (TF_RESTORE, TF_LOAD, TF_NUMPY)


@dataclass(frozen=True)
class Scenario:
    """Contenders that are compared with each other.

    Attributes:
        name: for the command line.
        about: for the report.
        runs: (input, contender); the input is empty where there is none.
        base: name of the contender whose time the others are divided by, on the same input.
        rounds: how many at full scale.
        unit: of times in the report.
        module: runs all rounds itself in one process, and prints samples as JSON; then there are no ``runs``.
        needs: a package without which ``module`` is left out.
    """

    name: str
    about: str
    runs: tuple[tuple[str, Contender], ...] = ()
    base: str = CP.name
    rounds: int = 5
    unit: str = "s"
    module: str = ""
    needs: str = ""

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs, each once."""
        return list(dict.fromkeys(name for name, _ in self.runs if name))

    def rounds_at(self, scale: Scale) -> int:
        """Return how many rounds there are at a scale.

        Example:
            >>> Scenario("x", "", rounds=5).rounds_at(Scale("half", round_divisor=2))
            3
        """
        return -(-self.rounds // scale.round_divisor)


def _on(name: str, *contenders: Contender) -> tuple[tuple[str, Contender], ...]:
    return tuple((name, contender) for contender in contenders)


SCENARIOS = (
    Scenario("kernel", "the cast alone, in one process", base=NUMPY_CAST, rounds=15, unit="ns", module="kernel"),
    Scenario("bytes", "what is done to a byte", base=HALVE_STEP, rounds=15, unit="ns", module="byte_costs"),
    Scenario("tensors", "what is done for a tensor", base=PLAN_ALL, rounds=9, unit="us", module="tensor_costs"),
    Scenario(
        "workers",
        "what an executor takes for a task, and what two workers gain on one checkpoint",
        base=ON_1,
        rounds=9,
        unit="ms",
        module="worker_costs",
        needs="distributed",
    ),
    Scenario(
        "startup",
        "processes that hardly do anything",
        _on("", NOTHING, IMPORTS, IMPORT_TFBUNDLE, IMPORT_HALVE, HELP),
        base=IMPORTS.name,
        rounds=25,
        unit="ms",
    ),
    Scenario(
        "mixed",
        "half of the bytes in one tensor, the rest in a hundred and in ten thousand",
        _on("mixed", CP, IMPORTS, HALVE_1, HALVE_2, ASTYPE, *TF_ROUTES, READER),
    ),
    Scenario(
        "adam",
        "a quarter of the bytes too small for float16",
        (*_on("mixed", CP, HALVE_1, HALVE_2), *_on("adam", CP, CAST_1, CAST_2, ASTYPE, *TF_ROUTES)),
    ),
    Scenario(
        "many",
        "ten thousand tensors beside one",
        (*_on("one", CP, HALVE_1, HALVE_2), *_on("many", CP, HALVE_1, HALVE_2, ASTYPE, TF_RESTORE)),
    ),
    Scenario(
        "eight",
        "four times the bytes",
        (*_on("mixed", HALVE_1, HALVE_2), *_on("eight", IMPORTS, HALVE_1, HALVE_2)),
        base=HALVE_1.name,
        rounds=3,
    ),
    Scenario(
        "partitioned",
        "one tensor in eight slices, which halve joins",
        (*_on("rows", CP, HALVE_1, HALVE_2, TF_RESTORE), *_on("columns", CP, HALVE_1, HALVE_2, TF_RESTORE)),
    ),
    Scenario(
        "exports",
        "to files of other formats, values as they are",
        _on("mixed", CP, EXPORT_SAFETENSORS, EXPORT_SAFETENSORS_2, EXPORT_NPZ, TF_SAFETENSORS),
    ),
    Scenario(
        "index",
        "a million tiny tensors",
        _on("million", IMPORTS, LS, TF_LIST, VERIFY, HALVE_1, LOOK_UP),
        base=LS.name,
        rounds=3,
    ),
)
