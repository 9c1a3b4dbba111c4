from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import environment, run_script
from tfbundle.cli.process import Interrupted, allow_many_files, interruptible

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", NUMBERS)
class TestSignals:
    def test_first_one_raises_and_the_others_do_not(self, number: signal.Signals) -> None:
        before = [signal.getsignal(each) for each in NUMBERS]
        done = []
        with pytest.raises(Interrupted) as caught, interruptible():
            try:
                os.kill(os.getpid(), number)
            finally:
                for impatient in NUMBERS:
                    os.kill(os.getpid(), impatient)
                done.append("cleaned up")
        assert caught.value.status == 128 + number
        assert done == ["cleaned up"]
        assert [signal.getsignal(each) for each in NUMBERS] == before

    def test_ignored_stays_ignored(self, number: signal.Signals) -> None:
        previous = signal.signal(number, signal.SIG_IGN)
        try:
            with interruptible():
                os.kill(os.getpid(), number)
                assert signal.getsignal(number) is signal.SIG_IGN
        finally:
            signal.signal(number, previous)

    def test_exit_status(self, number: signal.Signals, tmp_path: Path) -> None:
        """Wait in the opening of a checkpoint, where the signal comes."""
        script = (
            "import os, time, tfbundle.bundle.locate as locate\n"
            "from tfbundle.cli import run_process\n"
            "def wait(*_): print('waiting', flush=True); time.sleep(60)\n"
            "locate._find_at = wait\n"
            "run_process()\n"
        )
        command = [sys.executable, "-c", script, "ls", str(tmp_path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        assert child.stdout is not None
        assert child.stdout.readline() == b"waiting\n"
        child.send_signal(number)
        output, errors = child.communicate(timeout=60)
        assert (child.returncode, output, errors) == (128 + number, b"", b"")


class Dropped:
    """What is raised when it is forgotten is dropped, and told by ``sys.unraisablehook``."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    def __del__(self) -> None:
        if self.error:
            raise self.error
        os.kill(os.getpid(), signal.SIGTERM)


def test_interrupt_where_exceptions_are_dropped_comes_again() -> None:
    with pytest.raises(Interrupted) as caught, interruptible():
        Dropped()
        time.sleep(30)
    assert caught.value.status == 128 + signal.SIGTERM


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_other_exceptions_are_dropped_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    hook = sys.unraisablehook
    with interruptible():
        Dropped(ValueError("dropped"))
    assert sys.unraisablehook is hook
    assert "ValueError: dropped" in capsys.readouterr().err


def test_another_thread_has_no_signals() -> None:
    script = (
        "import threading, signal\n"
        "from tfbundle.cli.process import interruptible\n"
        "def enter():\n"
        "    with interruptible(): print('in')\n"
        "thread = threading.Thread(target=enter); thread.start(); thread.join()\n"
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    )
    assert run_script(script).split() == ["in", "True"]


def test_number_of_files() -> None:
    script = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))\n"
        "from tfbundle.cli.process import allow_many_files\n"
        "allow_many_files()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert run_script(script).strip() == "(256, 256)"


def test_number_of_files_that_cannot_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    allow_many_files()
