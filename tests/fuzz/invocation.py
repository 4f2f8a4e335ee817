"""One command of `nas` run in this process on hostile input, and what is wrong with how it ended."""

import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

LONGEST_S = 10.0  # of the processor, that a command may take until it begins its work, refuses or ends
LONGEST_WAIT_S = 60.0  # on the clock, beside other work
LONGEST_LINE = 1000  # characters of a refusal
PRINTED = frozenset("\n\t")  # the control characters that output may hold


class WorkBegan(BaseException):
    """Raised in place of long work: the command has accepted its input."""


class TookTooLong(BaseException):
    """Raised where a command is at work on its input for longer than `LONGEST_S`."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with how a command ended, where in the code, and the command."""

    kind: str
    place: str  # the innermost line of the project in a traceback, "" without one
    words: tuple[str, ...]
    detail: str

    def __str__(self) -> str:
        shown = " ".join(repr(word) if len(word) < 80 else repr(word[:60]) + "..." for word in self.words)
        return f"{self.kind} {self.place}: nas {shown}: {self.detail[:300]}"


@contextmanager
def no_long_work(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let work that takes long raise `WorkBegan` where it would begin."""

    def begin(*args: Any, **kwargs: Any) -> None:
        raise WorkBegan

    from nas.progress.time_left import Schedule

    patch.setattr(Schedule, "__init__", begin)  # what every search and training announces first
    patch.setattr("nas.measure.benchmark._time_group", begin)
    yield


@contextmanager
def _in_time() -> Iterator[None]:
    """Raise `TookTooLong` in the block when it has taken too much time of the processor, or waits."""

    def end(signum: int, frame: FrameType | None) -> None:
        raise TookTooLong

    timers = {signal.SIGALRM: (signal.ITIMER_REAL, LONGEST_WAIT_S), signal.SIGPROF: (signal.ITIMER_PROF, LONGEST_S)}
    before = {signum: signal.signal(signum, end) for signum in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for signum, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(signum, before[signum])


def attack(words: Sequence[str], folder: Path) -> Fault | None:
    """Run a command in `folder`, the current one, and return what is wrong with how it ended, None where nothing is."""
    from nas.cli import main

    out, err = io.StringIO(), io.StringIO()
    before = _entries(folder)
    status, began = None, time.monotonic()
    try:
        with redirect_stdout(out), redirect_stderr(err), _in_time():
            status = main(list(words))
    except WorkBegan:
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except TookTooLong as error:
        return Fault("no end", _place(error), tuple(words), f"after {time.monotonic() - began:.1f} s")
    except BaseException as error:
        return Fault("traceback", _place(error), tuple(words), f"{type(error).__name__}: {error}")
    complaint = _complaint(status, out.getvalue(), err.getvalue())
    if complaint is None and status == 2 and (left := _entries(folder) - before):
        complaint = f"refused, and left {sorted(left)[:3]}"
    return Fault("wrong end", "", tuple(words), complaint) if complaint else None


def _complaint(status: int | None, out: str, err: str) -> str | None:
    """Return what is wrong with the status and the texts of a command that ended, None where nothing is."""
    if bad := [c for c in out + err if (ord(c) < 32 and c not in PRINTED) or 0x7F <= ord(c) < 0xA0]:
        return f"control character {bad[0]!r} in {(out + err)[:200]!r}"
    if status == 0:
        return None
    if status != 2:
        return f"status {status}: {err[-200:]!r}"
    if not err.splitlines() or not err.splitlines()[-1].startswith("nas: "):
        return f"no refusal in {err[-200:]!r}"
    if sum(line.startswith("nas: ") for line in err.splitlines()) > 1:
        return f"more than one line: {err[:200]!r}"
    return f"{len(err):,} characters: {err[:100]!r}" if len(err) > LONGEST_LINE else None


def _entries(folder: Path) -> set[str]:
    """Return what lies in a folder; not what lies in its folders, where runs keep locks."""
    return set(os.listdir(folder))


def _place(error: BaseException) -> str:
    """Return file and line of the project's innermost frame of a traceback."""
    root = str(Path(__file__).parents[2])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(root)]
    ours = [f for f in frames if "/tests/" not in f.filename] or frames
    return f"{os.path.relpath(ours[-1].filename, root)}:{ours[-1].lineno}" if ours else "?"


def process_peak_mib() -> float:
    """Return the most memory that this process has had, in MiB."""
    import resource

    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (1 if sys.platform == "darwin" else 1024)
        / 1024 ** (sys.platform == "darwin")
    )
