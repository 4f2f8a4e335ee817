"""What a terminal shows of a long run while it works: the plan, and a live line of progress."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Self

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from nas.cli.console import console, duration, latency_text
from nas.progress import Evaluation, Progress

SECONDS_BETWEEN_LINES = 20.0  # of progress, where the output is no terminal


def progress_text(event: Progress) -> str:
    """Return where a search stands: loss, top-1 and latency of the policy's argmax, its entropy, the time left."""
    parts = []
    if event.loss is not None:
        parts.append(f"loss {event.loss:.3f}")
    if event.argmax_top1 is not None and event.argmax_latency is not None:
        parts.append(f"argmax {event.argmax_top1:.1%} at {latency_text(event.argmax_latency, event.latency_unit)}")
    elif event.argmax_top1 is not None:
        parts.append(f"best {event.argmax_top1:.1%}")
    if event.entropy is not None:
        parts.append(f"entropy {event.entropy:.0%}")
    if event.per_second is not None:
        parts.append(f"{event.per_second:.3g} candidates/s")
    if event.workers is not None:
        parts.append(f"{event.workers} worker{'s' if event.workers != 1 else ''}")
    if event.seconds_left is not None:
        parts.append(f"{duration(event.seconds_left)} left")
    return ", ".join(parts)


class LiveReporter:
    """Shows a run as it goes: a moving bar per stage on a terminal, else a line now and then. A context manager."""

    def __init__(self, file: IO[str] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console(file)
        self._clock = clock
        self._last_line: tuple[str, float] | None = None  # stage and time of the last plain line
        self._tasks: dict[str, TaskID] = {}
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[state]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def plan(self, lines: Sequence[str]) -> None:
        """Print what will be done."""
        for line in lines:
            self.say(line)
        self.say("compiling; progress follows")
        self._console.file.flush()

    def say(self, line: str) -> None:
        """Print a line above the progress display."""
        self._console.print(Text(line))

    def progress(self, event: Progress) -> None:
        """Show how far the stage of `event` is."""
        self.advance(event.stage, event.step, event.steps, progress_text(event))

    def candidate(self, event: Evaluation) -> None:
        """Show nothing: the line of progress has the best so far."""

    def advance(self, stage: str, step: int, steps: int, state: str) -> None:
        """Show that `step` of `steps` of a stage are done and how it stands."""
        if self._console.is_terminal:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=steps, state="")
            self._bars.update(self._tasks[stage], completed=step, total=steps, state=state)
            return
        now = self._clock()
        fresh = self._last_line is not None and self._last_line[0] == stage
        if fresh and self._last_line is not None and now - self._last_line[1] < SECONDS_BETWEEN_LINES and step < steps:
            return
        self._last_line = (stage, now)
        self.say(f"{stage} {step}/{steps}: {state}")
        self._console.file.flush()
