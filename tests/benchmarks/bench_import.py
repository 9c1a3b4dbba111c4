"""What ``import tfbundle`` costs beside the imports it cannot do without.

Run ``python -m tests.benchmarks.bench_import [ROUNDS]`` from the top of the repository. The statements take turns, each
time in a new process, so that a slow moment of the machine falls on all of them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from tests.support.processes import BARE_IMPORTS, environment

LIMIT = 1.3
STATEMENTS = {
    "nothing": "pass",
    "numpy, google.protobuf, crc32c": BARE_IMPORTS,
    "tfbundle": "import tfbundle",
    "tfbundle, then open": "import tfbundle; tfbundle.open",
    "tfbundle, then open and halve": "import tfbundle; tfbundle.open; tfbundle.halve",
}
_BASE = "numpy, google.protobuf, crc32c"


def measure(statement: str) -> float:
    """Return the seconds that a process takes which does no more than this."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env=environment())
    return time.perf_counter() - start


def main(rounds: int) -> None:
    """Measure, and print a table of medians."""
    for statement in STATEMENTS.values():
        measure(statement)  # fills the file cache and __pycache__
    seconds: dict[str, list[float]] = {label: [] for label in STATEMENTS}
    for _ in range(rounds):
        for label, statement in STATEMENTS.items():
            seconds[label].append(measure(statement))
    print(f"medians of {rounds} processes each; the limit for tfbundle is {LIMIT}")
    print(f"{'ms':>8} {'ratio':>6}  import of")
    for label, found in seconds.items():
        ratio = statistics.median(one / base for one, base in zip(found, seconds[_BASE], strict=True))
        print(f"{1000 * statistics.median(found):8.1f} {ratio:6.2f}  {label}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 25)
