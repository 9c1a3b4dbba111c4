"""What a command sets up in its process: signals that clean up, enough files."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_A_MOMENT_SECONDS = 0.001


class Interrupted(KeyboardInterrupt):
    """A signal told the command to end.

    Attributes:
        status: the exit status for it, as shells have it.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the first signal that would end the process raise ``Interrupted``, and those that follow do nothing.

    So temporary files are removed however impatient the user is. Signals that are ignored stay so, as under ``nohup``.
    """
    previous = {}
    hook, sys.unraisablehook = sys.unraisablehook, _interrupt_later
    try:
        for number in _SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                previous[number] = signal.signal(number, _interrupt)
    except ValueError:
        pass  # not in the main thread
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    ignore_signals()
    raise Interrupted(number)


def _interrupt_later(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise an interrupt again that came where Python drops exceptions, such as in ``__del__``."""
    interrupt = unraisable.exc_value
    if not isinstance(interrupt, Interrupted):
        sys.__unraisablehook__(unraisable)
        return

    def interrupt_again(_number: int, _frame: FrameType | None) -> None:
        raise interrupt

    signal.signal(signal.SIGALRM, interrupt_again)
    signal.setitimer(signal.ITIMER_REAL, _A_MOMENT_SECONDS)


def restore_defaults() -> None:
    """Let signals and errors do what they do in any Python process, for a script that runs in this one."""
    sys.excepthook, sys.unraisablehook = sys.__excepthook__, sys.__unraisablehook__
    with suppress(ValueError):  # not in the main thread
        for number in _SIGNALS:
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def ignore_signals() -> None:
    """Let nothing but SIGKILL end the process from now on."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def allow_many_files() -> None:
    """Let the process open as many files as the system allows it: checkpoints can have thousands of shards."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # a system with another idea of its limits
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
