"""What a terminal shows of a long run: the plan, a live line of progress, and the summary of what was found."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from nas.progress import Progress
    from nas.records.results import Accuracy, Result

PLAIN_WIDTH = 200  # columns where the output is no terminal: wide enough that no table folds
SECONDS_BETWEEN_LINES = 20.0  # of progress, where the output is no terminal
FILES = (
    ("best.json", "the architecture with all its numbers"),
    ("coarse.json", "what the coarse stage found"),
    ("front.csv", "the front of accuracy against latency, specs beside it"),
    ("evaluated.csv", "every architecture evaluated at the end"),
    ("report.html", "plots of all this"),
    ("supernet.safetensors", "the supernet's weights, for nas search --from"),
    ("experiment.json", "settings, seed and versions"),
    ("journal.jsonl", "the course of the search"),
)


def console(file: IO[str] | None = None) -> Console:
    """Return the console for results; it never colours or wraps what goes into a file or a pipe."""
    plain = Console(file=file, highlight=False)
    return plain if plain.is_terminal else Console(file=file, highlight=False, width=PLAIN_WIDTH)


def aligned_table(title: str, left: Iterable[str], right: Iterable[str]) -> Table:
    """Return an empty table with columns of text, then of numbers."""
    table = Table(title=title, title_justify="left")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", overflow="fold")
    return table


def duration(seconds: float) -> str:
    """Return seconds as "1:02:03", or "2:03" below an hour."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def latency_text(latency: float, unit: str) -> str:
    """Return a latency with its unit: "1.234 ms", or "0.871 x mobilenetv4-conv-s"."""
    return f"{latency:.3f} {unit}"


def progress_text(event: "Progress") -> str:
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

    def progress(self, event: "Progress") -> None:
        """Show how far the stage of `event` is."""
        self.advance(event.stage, event.step, event.steps, progress_text(event))

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


def accuracy_text(accuracy: "Accuracy") -> str:
    """Return a top-1 accuracy with its standard error."""
    error = f"{100 * accuracy.standard_error:.2f} points (standard error, {accuracy.images:,} images)"
    return f"{accuracy.top1:.2%} +- {error}"


def summary(result: "Result", run: Path, chosen_by: str | None = None) -> Table:
    """Return what a search found as a table of two columns; `chosen_by` says what chose it where no policy did."""
    accuracy, shared, gap = result.accuracy, result.supernet_accuracy, result.latency / result.latency_budget - 1
    entropy = f"policy entropy {result.policy_entropy:.0%} of uniform"
    converged = "converged" if result.converged else "not converged"
    table = Table(title=f"found in {result.space} for {result.target}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = [
        ("predicted latency", f"{latency_text(result.latency, result.latency_unit)} ({result.latency_model})"),
        ("latency budget", f"{latency_text(result.latency_budget, result.latency_unit)}, gap {gap:+.2%}"),
        ("MACs, parameters", f"{result.macs:,}, {result.params:,}"),
        (
            "memory",
            f"{result.weight_bytes:,} bytes of weights, {result.peak_activation_bytes:,} of activations at once",
        ),
        ("proxy top-1", accuracy_text(accuracy)),
        ("accuracy of", f"{accuracy.kind.label()}; not of the deployed network"),
        *([("in the supernet", accuracy_text(shared))] if shared not in (None, accuracy) else []),
        ("search", f"{chosen_by or f'{converged}, {entropy}'}, seed {result.seed}"),
        *(("note", note) for note in result.notes),
        *((str(run / name), words) for name, words in FILES if (run / name).exists()),
        *(("next", command) for command in next_commands(result, run)),
    ]
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return table


def next_commands(result: "Result", run: Path) -> tuple[str, ...]:
    """Return the commands that go on from a finished search."""
    device = "edgetpu" if result.target.startswith("ridge-point") else result.target
    return (
        f"nas compare {run} --targets {device}",
        f"nas train {run} --proxy --from-supernet --out {run}-trained",
        f"nas export {run} --format flax --out {run}.flax",
    )
