"""Power cuts on a real file system; see ``test_power_cuts.py``.

Usage: ``python -m tests.faults.power_cuts ext4|xfs DIRECTORY RANDOM SCENE...``
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.calls import Countdown, watching
from tests.faults.children import fork, wait
from tests.faults.disks import Disk
from tests.faults.namespaces import tell
from tests.faults.scenes import SCENES, Expected, Scene, expect, judge, run, run_again
from tests.support.handmade import files_of

CUT = 77


class Trials:
    """Cuts during one scene, on one disk.

    Args:
        disk: mounted.
        scene: what goes on when the power fails.
    """

    def __init__(self, disk: Disk, scene: Scene) -> None:
        self._disk = disk
        self._scene = scene
        with tempfile.TemporaryDirectory(dir=disk.root.parent) as directory:
            self._expected: Expected = expect(scene, Path(directory))
            self.num_calls, started = self._measure(Path(directory)), time.monotonic()
            self._measure(Path(directory))
            self._seconds = time.monotonic() - started

    def _measure(self, root: Path) -> int:
        self._scene.prepare(root)
        counter = Countdown(-1, lambda _: None)
        with watching(counter):
            run(self._scene.command(root))
        return counter.seen

    def cut_before(self, number: int) -> str:
        """Cut the power before a call, and judge; with a number beyond the last, after success was told."""
        self._prepare()
        status = wait(fork(lambda: self._run_until(number)))
        if status == 0:
            self._disk.cut_power()
        found = self._judge()
        if status not in (0, CUT):
            return f"WRONG: exit status {status}"
        return f"WRONG: {found} after success" if status == 0 and found != "new" else found

    def cut_sometime(self, generator: random.Random) -> str:
        """Cut the power at a random moment, with the calls going on, and judge."""
        self._prepare()
        child = fork(lambda: run(self._scene.command(self._disk.root))[0])
        time.sleep(generator.uniform(0, 1.5 * self._seconds))
        ended = os.waitpid(child, os.WNOHANG) != (0, 0)
        self._disk.cut_power()
        if not ended:
            os.kill(child, signal.SIGKILL)
            wait(child)
        found = self._judge()
        return f"WRONG: {found} after success" if ended and found != "new" else found

    def _prepare(self) -> None:
        self._scene.prepare(self._disk.root)
        self._disk.sync()

    def _run_until(self, number: int) -> int:
        def cut(_name: str) -> None:
            self._disk.cut_power()
            os._exit(CUT)

        with watching(Countdown(number, cut)):
            return run(self._scene.command(self._disk.root))[0]

    def _judge(self) -> str:
        self._disk.restart()
        files = {path: data for path, data in files_of(self._disk.root).items() if path.startswith(("src/", "out/"))}
        state = judge(self._scene, self._expected, files)
        if state == "staged":
            status, errors = run(["verify", "--finish", str(self._disk.root / self._scene.target)])
            finished = judge(self._scene, self._expected, files_of(self._disk.root))
            if status or finished != "new":
                return f"WRONG: verify --finish: {status}, {finished}, {errors}"
        status, errors = run_again(self._scene, self._disk.root)
        again = judge(self._scene, self._expected, files_of(self._disk.root))
        if not state.startswith("WRONG") and (status or again != "new") and self._scene.name != "set":
            return f"WRONG: run again after {state}: {status}, {again}, {errors}"
        return state


def main(kind: str, directory: str, num_random: str, *names: str) -> None:
    """Try all scenes on one disk, and tell what came of each cut."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory], check=True)  # seen by this process alone, and quick
    disk = Disk(kind, Path(directory))
    generator = random.Random(kind)
    for name in names:
        trials = Trials(disk, SCENES[name])
        for number in range(trials.num_calls + 1):
            tell(name, number, trials.cut_before(number))
        for _ in range(int(num_random)):
            tell(name, "random", trials.cut_sometime(generator))
    disk.unmount()


if __name__ == "__main__":
    main(*sys.argv[1:])
