"""Trackers: where the numbers of a run go beside its folder, for comparing many runs: TensorBoard, MLflow, W&B.

A tracker is opened for a run and gets named numbers; its file imports its package, which is an extra of this project.
None of them reaches the network unless its own settings say so.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from nas.errors import InvalidInput
from nas.progress import Evaluation, Progress
from nas.registry import TRACKERS, load


@dataclass(frozen=True)
class TrackedRun:
    """The run that a tracker is opened for: its folder, and the settings that it was begun with."""

    folder: Path
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.resolve().name


class Tracker(Protocol):
    """Takes the numbers of one run. Names are "stage/number", steps those of the stage."""

    def log(self, values: Mapping[str, float], step: int) -> None: ...
    def close(self) -> None: ...


OpenTracker = Callable[[TrackedRun], Tracker]


def need(package: str) -> None:
    """Raise `InvalidInput`, with the command that installs it, unless the package of a tracker is installed."""
    if find_spec(package) is None:
        raise InvalidInput(
            f"--track {package} needs the package {package}, which is not installed: pip install '.[{package}]' in "
            "the folder of this project"
        )


@dataclass
class TrackingReporter:
    """A progress reporter that passes numbers on to trackers, opened at the first: the run's folder is there then.

    A tracker that fails is left out from then on, which `say` is told: no search ends for want of a tracker.
    """

    openers: Mapping[str, OpenTracker]
    run: TrackedRun
    say: Callable[[str], object] = print
    trackers: dict[str, Tracker] = field(default_factory=dict)
    opened: bool = False
    candidates: dict[str, int] = field(default_factory=dict)  # stage -> how many were evaluated

    def plan(self, lines: Sequence[str]) -> None:
        """Track nothing."""

    def progress(self, event: Progress) -> None:
        """Track the numbers of a report."""
        stage = tag(event.stage)
        values = {
            "loss": event.loss, "top1": event.argmax_top1, "latency": event.argmax_latency,
            "entropy": event.entropy, "candidates_per_s": event.per_second,
        }  # fmt: skip
        self.log({f"{stage}/{name}": float(value) for name, value in values.items() if value is not None}, event.step)

    def candidate(self, event: Evaluation) -> None:
        """Track the accuracy of a candidate, by its number in the stage."""
        number = self.candidates[event.stage] = self.candidates.get(event.stage, 0) + 1
        if event.top1 is not None:
            self.log({f"{tag(event.stage)}-candidates/top1": event.top1}, number)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Pass numbers on to all trackers."""
        if not self.opened:
            self.opened = True
            for name in self.openers:
                self._or_leave_out(name, partial(self._open, name))
        for name, tracker in list(self.trackers.items()):
            if values:
                self._or_leave_out(name, partial(tracker.log, values, step))

    def close(self) -> None:
        """Close all trackers."""
        for name, tracker in list(self.trackers.items()):
            self._or_leave_out(name, tracker.close)
        self.trackers.clear()

    def _open(self, name: str) -> None:
        self.trackers[name] = self.openers[name](self.run)

    def _or_leave_out(self, name: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # of any kind: a tracker is another project's
            self.trackers.pop(name, None)
            self.say(f"the tracker {name} failed and is left out: {error}")


def tag(stage: str) -> str:
    """Return a stage as the first part of a name, in letters that every tracker takes: "edgetpu-coarse"."""
    return re.sub(r"[^\w.-]+", "-", stage, flags=re.ASCII)


def tracking(names: Sequence[str], folder: Path, settings: Mapping[str, Any]) -> TrackingReporter | None:
    """Return the reporter for the trackers of these names, None for none.

    `InvalidInput` or `UnknownName`, before any work, for one that does not exist or whose package is missing.
    """
    if not names:
        return None
    openers = {name: load("tracker", TRACKERS, name) for name in names}
    return TrackingReporter(openers, TrackedRun(folder, settings))
