"""What a long run tells while it works: the interface between the engine and whoever shows its progress."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


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


class ProgressReporter(Protocol):
    """Shows progress; implementations print, draw, or do nothing."""

    def plan(self, lines: Sequence[str]) -> None: ...
    def progress(self, event: Progress) -> None: ...
    def say(self, line: str) -> None: ...


class SilentReporter:
    """A watcher that shows nothing."""

    def plan(self, lines: Sequence[str]) -> None:
        """Show nothing."""

    def progress(self, event: Progress) -> None:
        """Show nothing."""

    def say(self, line: str) -> None:
        """Show nothing."""
