"""Peak memory and speed of ``halve`` on a checkpoint of one large tensor.

Run ``python -m tests.benchmarks.bench_memory [GIB [DIRECTORY]]`` from the top of the repository (Linux; 2 GiB in the
system's temporary directory by default, and half as much again twice for the results). Memory is the highest resident
size of the process, less that of one with the bare imports. Time is compared with ``cp``; the page cache is warm.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from tests.support.giant import write_giant
from tests.support.processes import BARE_IMPORTS, environment, peak_nbytes

MIB = 1 << 20
LIMIT_NBYTES = 120 * MIB
ROUNDS = 3
HALVE = "import tfbundle; tfbundle.halve(*sys.argv[1:3], options=tfbundle.RunOptions('replace', int(sys.argv[3])))"


def seconds_of(command: list[str]) -> float:
    """Run a command and return how long it took."""
    start = time.perf_counter()
    subprocess.run(command, check=True, env=environment())
    return time.perf_counter() - start


def main(gib: float, parent: str | None) -> None:
    """Measure with one thread and with two."""
    folder = tempfile.mkdtemp(prefix="tfbundle-bench-", dir=parent)
    try:
        source = write_giant(os.path.join(folder, "giant"), int(gib * 1024) * MIB)
        target = os.path.join(folder, "half")
        bare = peak_nbytes(BARE_IMPORTS)
        print(f"bare imports: {bare / MIB:.1f} MiB; the limit is {LIMIT_NBYTES // MIB} MiB above that")
        copies: list[float] = []
        halves: dict[str, list[float]] = {"1": [], "2": []}
        for _ in range(ROUNDS):
            copies.append(seconds_of(["cp", f"{source}.data-00000-of-00001", os.path.join(folder, "copy")]))
            os.remove(os.path.join(folder, "copy"))
            for jobs, seconds in halves.items():
                command = ["-m", "tfbundle", "halve", source, target, "--force", "--quiet", "--jobs", jobs]
                seconds.append(seconds_of([sys.executable, *command]))
        print(f"cp: {statistics.median(copies):.2f} s")
        for jobs, seconds in halves.items():
            above = peak_nbytes(HALVE, source, target, jobs) - bare
            ratio = statistics.median(one / base for one, base in zip(seconds, copies, strict=True))
            verdict = "ok" if above <= LIMIT_NBYTES else "TOO MUCH"
            print(
                f"halve --jobs {jobs}: {statistics.median(seconds):.2f} s, {ratio:.2f} times cp; "
                f"{above / MIB:.1f} MiB above bare imports: {verdict}"
            )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2, sys.argv[2] if len(sys.argv) > 2 else None)
