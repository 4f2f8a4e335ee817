"""What is shown of long work while it goes on: one bar over all of a command, with the time that it still takes.

A `Status` is what is known at one moment: on a terminal shown four times a second, elsewhere printed now and then. A
hidden file of the run folder keeps it too, from which `nas watch` shows it in another terminal.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from rich.live import Live
from rich.text import Text

from nas.cli.console import console, duration, latency_text
from nas.files import CannotWrite, read_json, write_whole
from nas.progress import Evaluation, Progress
from nas.progress.time_left import Begun, Timing, TimingEvent, advanced, after, seconds_left
from nas.records.results import share_text
from nas.records.typed import typed
from nas.trackers import TrackingReporter

SECONDS_BETWEEN_LINES = 20.0  # of progress, where the output is no terminal
SECONDS_BETWEEN_FILES = 1.0  # of the status that other terminals see
STATUS_FILE = ".progress.tmp"  # in a run folder; whoever works on the folder next removes it, as all temporary files
FRAMES, ASCII_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"  # of the spinner
FRAMES_PER_S = 8
BAR, ASCII_BAR = ("━", "━"), ("#", ".")  # what is over, what is left
BAR_COLUMNS = 24


@dataclass(frozen=True)
class Status:
    """The progress of a command at one moment."""

    stage: str = ""
    step: int = 0
    steps: int = 0
    state: str = ""  # loss, accuracy and the like
    elapsed_s: float = 0.0
    left_s: float | None = None  # of the whole command
    compiling_s: float | None = None  # for how long XLA compiles, None where it does not

    @property
    def fraction(self) -> float | None:
        """How much of the time of the whole is over; None where that is not known."""
        return None if self.left_s is None else self.elapsed_s / max(self.elapsed_s + self.left_s, 1e-9)

    def later(self, seconds: float) -> "Status":
        """Return the status of the same work some seconds later, where nothing has been reported in between."""
        left = None if self.left_s is None else max(0.0, self.left_s - seconds)
        compiling = None if self.compiling_s is None else self.compiling_s + seconds
        return replace(self, elapsed_s=self.elapsed_s + seconds, left_s=left, compiling_s=compiling)

    def place(self) -> str:
        """Return where the command is: "coarse 40/120", or "compiling coarse, 12 s"."""
        if self.compiling_s is not None:
            seconds = f", {self.compiling_s:.0f} s" if self.compiling_s >= 1 else ""
            return f"compiling {self.stage}{seconds}"
        return f"{self.stage} {self.step}/{self.steps}" if self.steps > 1 else self.stage

    def times(self) -> str:
        """Return how long the command has taken, and how long it still takes."""
        left = "" if self.left_s is None else f", {duration(self.left_s)} left"
        return f"{duration(self.elapsed_s)} elapsed{left}"

    def line(self) -> str:
        """Return all in one line, for a log."""
        return f"{self.place()}: " + ", ".join(filter(None, (self.state, self.times())))


def status_text(status: Status, width: int, now_s: float, *, ascii_only: bool = False) -> Text:
    """Return a status as two lines of a terminal: a bar over all of the work, and how the work stands."""
    frames = ASCII_FRAMES if ascii_only else FRAMES
    frame = frames[int(now_s * FRAMES_PER_S) % len(frames)] if status.compiling_s is not None else " "
    bar = _bar(status.fraction or 0.0, *(ASCII_BAR if ascii_only else BAR))
    first = Text.assemble(f"{frame} ", *bar, f" {status.times()}  {status.place()}")
    lines = [first, Text(f"  {status.state}", style="dim")] if status.state else [first]
    for line in lines:
        line.truncate(width, overflow="crop" if ascii_only else "ellipsis")
    return Text("\n").join(lines)


def _bar(fraction: float, full: str, empty: str) -> list[tuple[str, str]]:
    """Return a bar as texts with their styles."""
    columns = round(BAR_COLUMNS * fraction)
    return [(full * columns, "green"), (empty * (BAR_COLUMNS - columns), "bright_black")]


def progress_text(event: Progress) -> str:
    """Return where a search stands: loss, score and latency of the policy's argmax, its entropy, the rate."""
    parts = []
    if event.loss is not None:
        parts.append(f"loss {event.loss:.3f}")
    if event.argmax_top1 is not None and event.argmax_latency is not None:
        score = share_text(event.argmax_top1, event.metric, 1)
        parts.append(f"argmax {score} at {latency_text(event.argmax_latency, event.latency_unit)}")
    elif event.argmax_top1 is not None:
        parts.append(f"best {share_text(event.argmax_top1, event.metric, 1)}")
    if event.entropy is not None:
        parts.append(f"entropy {event.entropy:.0%}")
    if event.per_second is not None:
        parts.append(f"{event.per_second:.3g} candidates/s")
    if event.workers is not None:
        parts.append(f"{event.workers} worker{'s' if event.workers != 1 else ''}")
    return ", ".join(parts)


class LiveReporter:
    """Shows a command as it goes: one moving bar on a terminal, else a line now and then. A context manager."""

    def __init__(
        self,
        file: IO[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        folder: Path | None = None,
        trackers: TrackingReporter | None = None,
    ) -> None:
        """Show it on `file`, standard output by default; `folder` is that of the run, which gets the status file.

        What is shown goes to the `trackers` too.
        """
        self._trackers = trackers
        if trackers is not None:
            trackers.say = self.say
        self._console, self._clock, self._folder = console(file), clock, folder
        self._began_s = clock()
        self._status, self._timing = Status(), Timing(at_s=self._began_s)
        self._stage_left: tuple[float, float] | None = None  # what a stage said of itself, and when
        self._shown: tuple[Status, float] | None = None  # of another process, and when that was
        self._last_line: tuple[str, float] | None = None  # stage and time of the last plain line
        self._written_s = -SECONDS_BETWEEN_FILES
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(console=self._console, get_renderable=self._live_text, transient=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._trackers is not None:
            self._trackers.close()
        if self._live is not None:
            self._live.stop()
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / STATUS_FILE).unlink()

    # ------------------------------------------------------------------------------------------------------- events

    def plan(self, lines: Sequence[str]) -> None:
        """Print what will be done."""
        for line in lines:
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line above the progress display."""
        self._console.print(Text(line))

    def timing(self, event: TimingEvent) -> None:
        """Take in phases that are known now, and where stages and compilations begin and end."""
        now = self._clock()
        self._timing = after(self._timing, event, now)
        if isinstance(event, Begun):
            index = self._timing.index(event.stage)
            self._status = Status(event.stage, event.step, 0 if index is None else self._timing.phases[index].steps)
            self._print(f"compiling {event.stage}" if event.compiling else event.stage, now, last=False)
        self._write_status(now, at_once=True)

    def progress(self, event: Progress) -> None:
        """Show how far the stage of `event` is."""
        self._stage_left = None if event.seconds_left is None else (event.seconds_left, self._clock())
        self.advance(event.stage, event.step, event.steps, progress_text(event))
        self.track(event)

    def candidate(self, event: Evaluation) -> None:
        """Show nothing: the line of progress has the best so far."""
        if self._trackers is not None:
            self._trackers.candidate(event)

    def track(self, event: Progress) -> None:
        """Pass an event on to the trackers, without showing it."""
        if self._trackers is not None:
            self._trackers.progress(event)

    def advance(self, stage: str, step: int, steps: int, state: str) -> None:
        """Show that `step` of `steps` of a stage are done and how it stands."""
        now = self._clock()
        self._timing = advanced(self._timing, stage, step, steps, now)
        changed = stage != self._status.stage
        self._status = Status(stage, step, steps, state)
        self._write_status(now, at_once=changed)
        self._print(stage, now, last=step >= steps)

    def show(self, status: Status) -> None:
        """Show the status of another process."""
        now = self._clock()
        self._shown = status, now
        self._print(status.stage, now, last=False)

    # ------------------------------------------------------------------------------------------------------- status

    def status(self, now_s: float) -> Status:
        """Return the status at a time of the clock."""
        if self._shown is not None:
            status, at_s = self._shown
            return status.later(now_s - at_s)
        left = seconds_left(self._timing, now_s)
        if left is None and self._stage_left is not None:  # no phases are known: that of the stage
            left = max(0.0, self._stage_left[0] - (now_s - self._stage_left[1]))
        compiling = now_s - self._timing.at_s if self._timing.compiling else None
        return replace(self._status, elapsed_s=now_s - self._began_s, left_s=left, compiling_s=compiling)

    def _live_text(self) -> Text:
        now = self._clock()
        status, plain = self.status(now), not self._console.encoding.lower().startswith("utf")
        return status_text(status, self._console.width, now, ascii_only=plain) if status.stage else Text("")

    def _print(self, stage: str, now_s: float, *, last: bool) -> None:
        """Print a line where the output is no terminal: of a new stage, of its last step, and now and then."""
        if self._live is not None:
            return
        before = self._last_line
        if before is not None and before[0] == stage and not last and now_s - before[1] < SECONDS_BETWEEN_LINES:
            return
        self._last_line = (stage, now_s)
        self.say(self.status(now_s).line())

    def _write_status(self, now_s: float, *, at_once: bool = False) -> None:
        """Keep the status in the run folder, for other terminals; it is no result, so a full disk is no matter."""
        if self._folder is None or (now_s - self._written_s < SECONDS_BETWEEN_FILES and not at_once):
            return
        self._written_s = now_s
        with suppress(CannotWrite):
            write_status(self._folder, self.status(now_s))


# --------------------------------------------------------------------------------------- the status for other terminals


def write_status(folder: Path, status: Status) -> None:
    """Write the status of the process that works on the run `folder`."""
    write_whole(folder / STATUS_FILE, json.dumps(asdict(status)), durable=False)


def read_status(folder: Path) -> Status | None:
    """Return the status of the process that works on the run `folder`, as it is by now; None where it tells none."""
    path = folder / STATUS_FILE
    try:
        since_s = time.time() - path.stat().st_mtime
        return typed(Status, read_json(path)).later(max(0.0, since_s))
    except (OSError, ValueError, TypeError, LookupError):
        return None
