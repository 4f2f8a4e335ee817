"""How a command ends by SIGINT, SIGTERM or SIGHUP: within a second, with a line on how to go on, without a traceback.

The handler sets a flag (nas/progress/stop.py) and raises `KeyboardInterrupt`, so that a command saves what it can. But
Python runs a handler only between two of its own instructions: while XLA compiles, or runs steps, the main thread is
elsewhere for seconds. So a thread reads the signals too, from the file descriptor that the interpreter's own handler
writes to, and ends the process where the main thread has not done so in time, or at once at a second signal. Nothing is
lost that way that a kill would not lose: files are written whole or not at all, journals are appended line by line.
"""

import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from nas.cli.printable import printable
from nas.progress.stop import request_stop, stop_requested, withdraw_stop

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 0.7  # that the main thread has to save its work and to end
SPEAKING_S = 0.1  # that a line may take to be printed
SHOW_CURSOR = b"\x1b[?25h\r\n"  # a live display hides it, and leaves it at the end of its line
_advice: list[Callable[[], str]] = []  # how the work at hand goes on, the innermost last
_speaking = threading.Lock()  # held while the last line is printed
_own_process: list[bool] = []  # not empty where the command is the whole process
_spoken: list[str] = []  # the last line, once it is printed


def exit_status() -> int:
    """Return the exit status of a command that was stopped, as shells have it: 128 and the signal, 130 for Ctrl-C."""
    return 128 + (stop_requested() or signal.SIGINT)


@contextmanager
def interruptible(advice: Callable[[], str]) -> Iterator[None]:
    """Add to an interruption of the work inside how it goes on, as `advice` says it then."""
    _advice.append(advice)
    try:
        yield
    except BaseException as error:
        # A library may have made another error of the interruption. The advice stays: the thread may need it.
        if isinstance(error, KeyboardInterrupt) or stop_requested():
            raise KeyboardInterrupt(advice()) from error
        raise
    _advice.remove(advice)


@contextmanager
def handled() -> Iterator[None]:
    """Let the signals that are not ignored set the flag and raise `KeyboardInterrupt` in the main thread.

    Under nohup, SIGHUP stays ignored. In another thread than the main one, where no signals can be set, this changes
    nothing.
    """
    withdraw_stop()
    _advice.clear()
    _spoken.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, _interrupt) for s in SIGNALS if signal.getsignal(s) != signal.SIG_IGN}
    hook, sys.unraisablehook = sys.unraisablehook, _without_interruptions(sys.unraisablehook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for signum, handler in before.items():
            signal.signal(signum, handler or signal.SIG_DFL)
        withdraw_stop()


def _interrupt(signum: int, frame: FrameType | None) -> None:
    request_stop(signum)
    raise KeyboardInterrupt


def _without_interruptions(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    """Return a hook for exceptions that Python cannot raise; an interruption among them is not lost, and not shown."""

    def shown(unraisable: Any) -> None:
        if stop_requested() is None or not issubclass(unraisable.exc_type, KeyboardInterrupt):
            hook(unraisable)

    return shown


def say_last(message: str) -> None:
    """Print the last line of a command that was stopped."""
    with _speaking, suppress(OSError, AttributeError):  # the terminal may be gone, or standard error closed
        _spoken.append(message)
        sys.stderr.write(f"{printable(message)}\n")  # at once, not the line and then its end
        sys.stderr.flush()


def stopped() -> int:
    """Return the exit status of a command that was stopped; in a process of its own, end that at once instead.

    To be called while the interruption is being handled. A compilation may still be running in another thread, for
    which Python would wait. And what XLA was at work on when it was interrupted hangs on the interruption: to free that
    has ended in a segmentation fault (jax 0.10).
    """
    if _own_process:
        leave(exit_status())
    return exit_status()


def end_in_time() -> None:
    """Start the thread that ends this process `GRACE_S` after the first signal, and at once after the second."""
    _own_process.append(True)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_end_process, args=(reading,), name="nas signals", daemon=True).start()


def _end_process(reading: int) -> None:
    """Wait for a signal, give the main thread its time, and end the process."""
    first = _next_signal(reading, math.inf)
    request_stop(first)  # where a library has replaced the handler
    _next_signal(reading, time.monotonic() + GRACE_S)
    leave(128 + first)


def _next_signal(reading: int, until: float) -> int:
    """Return the next of `SIGNALS`, 0 where none comes `until` then, a time of `time.monotonic`."""
    while (left := until - time.monotonic()) > 0:
        if select.select([reading], [], [], None if math.isinf(left) else left)[0]:
            signum = os.read(reading, 1)[0]
            if signum in SIGNALS:
                return signum
    return 0


def leave(status: int) -> None:
    """End the process now, from any thread: restore the terminal, say how to go on unless that was said."""
    _speaking.acquire(timeout=SPEAKING_S)
    with suppress(Exception):
        if not _spoken:
            for stream in [stream for stream in (1, 2) if os.isatty(stream)][:1]:
                os.write(stream, SHOW_CURSOR)
            message = "; ".join(["stopped", *(advice() for advice in _advice[-1:])])
            os.write(2, f"nas: {' '.join(message.split())}\n".encode())  # not through a stream, which may be locked
    os._exit(status)
