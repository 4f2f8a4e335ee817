"""Progress of long work: what a run reports, and the interface of whoever shows it, listens to it or stops it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from nas.errors import Stopped
from nas.progress.time_left import TimingEvent


@dataclass(frozen=True)
class Progress:
    """One report of a search: a stage ("coarse", "fine", "front"), how far it is, and the best architecture so far."""

    stage: str
    step: int
    steps: int
    loss: float | None = None
    argmax_top1: float | None = None
    argmax_latency: float | None = None
    latency_unit: str = "ms"
    entropy: float | None = None  # of the policy, as a fraction of the uniform one's
    seconds_left: float | None = None  # of this stage
    per_second: float | None = None  # candidates
    workers: int | None = None  # that evaluate candidates
    metric: str = "top1"  # the name of what `argmax_top1` is: of classification a share


@dataclass(frozen=True)
class Evaluation:
    """One candidate that was evaluated: in which stage, its genotype in the whole space, and its top-1 as a fraction.

    `top1` is None for a candidate that could not be evaluated.
    """

    stage: str
    genotype: tuple[int, ...]
    top1: float | None


class ProgressReporter(Protocol):
    """Shows progress, or acts on it; implementations print, draw, call back, or do nothing."""

    def plan(self, lines: Sequence[str]) -> None: ...
    def progress(self, event: Progress) -> None: ...
    def candidate(self, event: Evaluation) -> None: ...
    def say(self, line: str) -> None: ...


class TimedReporter(ProgressReporter, Protocol):
    """A progress reporter that also learns of phases and compilations, to tell how long the whole takes."""

    def timing(self, event: TimingEvent) -> None: ...


def report_timing(reporter: ProgressReporter, event: TimingEvent) -> None:
    """Pass an event on to a reporter that takes such (`TimedReporter`); others need not know of them."""
    timing = getattr(reporter, "timing", None)
    if timing is not None:
        timing(event)


class SilentReporter:
    """A progress reporter that shows nothing."""

    def plan(self, lines: Sequence[str]) -> None:
        """Show nothing."""

    def progress(self, event: Progress) -> None:
        """Show nothing."""

    def candidate(self, event: Evaluation) -> None:
        """Show nothing."""

    def say(self, line: str) -> None:
        """Show nothing."""


@dataclass(frozen=True)
class Callbacks:
    """A progress reporter that calls functions; one that returns True stops the work, which can be resumed.

    The stop is raised as `Stopped` at the place where the event is reported: what the run had journalled is kept.
    """

    on_step: Callable[[Progress], object] | None = None
    on_candidate: Callable[[Evaluation], object] | None = None

    def plan(self, lines: Sequence[str]) -> None:
        """Call nothing."""

    def progress(self, event: Progress) -> None:
        """Call `on_step`."""
        if self.on_step is not None and self.on_step(event) is True:
            raise Stopped(f"on_step stopped the work in stage {event.stage}, step {event.step} of {event.steps}")

    def candidate(self, event: Evaluation) -> None:
        """Call `on_candidate`."""
        if self.on_candidate is not None and self.on_candidate(event) is True:
            raise Stopped(f"on_candidate stopped the work in stage {event.stage}")

    def say(self, line: str) -> None:
        """Call nothing."""
