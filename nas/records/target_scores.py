"""What a trained network reached on its test examples, metric by metric and target by target: tasks without classes.

Values are in the units of the targets, each with its standard error, beside those of the best constant answer: the mean
of the training targets, or "yes" for every label.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.records.typed import typed
from nas.tasks import METRICS, Metric, Task, measured, rescaled

ROUNDING = 1e-9
SHOWN = 8  # targets in lines of text


@dataclass(frozen=True)
class MetricValue:
    """A metric over all test examples, and that of the best constant answer."""

    metric: str
    value: float
    standard_error: float | None  # None where two examples or more were not there
    of_constant: float

    @property
    def title(self) -> str:
        """The metric as tables name it."""
        return METRICS[self.metric].title if self.metric in METRICS else self.metric

    @property
    def text(self) -> str:
        """The metric with its error, and what the constant answer gets."""
        error = "" if self.standard_error is None else f" \u00b1 {self.standard_error:.2g}"
        return f"{self.title} {self.value:.4g}{error} (constant answer: {_rounded(self.of_constant):.4g})"


@dataclass(frozen=True)
class TargetScores:
    """The metrics of a task over all targets, the task's own first, and those of each target."""

    metrics: tuple[MetricValue, ...]
    targets: dict[str, tuple[MetricValue, ...]]  # none where there is one target only

    @classmethod
    def of(
        cls, task: Task, names: tuple[str, ...], outputs: npt.NDArray[Any], targets: npt.NDArray[Any],
        training_targets: npt.NDArray[Any],
    ) -> "TargetScores":  # fmt: skip
        """Return the metrics of `outputs` [N, K] of a network in training against test `targets` [N, K]."""
        constant = np.broadcast_to(task.constant(training_targets), outputs.shape)
        ours, other = (rescaled(task, np.asarray(each, np.float64)) for each in (outputs, constant))
        targets = np.asarray(targets, np.float64)
        metrics = tuple(_value(metric, ours, other, targets) for metric in task.metrics)
        each = {}
        if len(names) > 1 and targets.shape[1:] == outputs.shape[1:]:
            for k, name in enumerate(names):
                parts = (array[:, k : k + 1] for array in (ours, other, targets))
                ours_k, other_k, targets_k = parts
                each[name] = tuple(_value(metric, ours_k, other_k, targets_k) for metric in task.metrics)
        return cls(metrics, each)

    @classmethod
    def stated_by(cls, training: Any) -> "TargetScores | None":
        """Return what the content of a train.json states; None where it states none: of a classification."""
        try:
            metrics, targets = training["metrics"], training["targets"]
            read = {name: tuple(typed(MetricValue, row) for row in rows) for name, rows in targets.items()}
            return cls(tuple(typed(MetricValue, row) for row in metrics), read)
        except (AttributeError, KeyError, TypeError):
            return None

    def lines(self) -> Iterator[str]:
        """Yield lines of text: all targets together, then the first of them one by one."""
        for metric in self.metrics:
            yield f"test {metric.text}"
        for name, values in list(self.targets.items())[:SHOWN]:
            yield f"{name}: {', '.join(value.text for value in values)}"
        if len(self.targets) > SHOWN:
            yield f"{len(self.targets) - SHOWN} more targets: train.json"

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of train.json."""
        targets = {name: [asdict(value) for value in values] for name, values in self.targets.items()}
        return {"metrics": [asdict(value) for value in self.metrics], "targets": targets}


def _rounded(value: float) -> float:
    """Return a value, or 0 for the rounding error of one."""
    return 0.0 if abs(value) < ROUNDING else value


def _value(
    metric: Metric, outputs: npt.NDArray[Any], constant: npt.NDArray[Any], targets: npt.NDArray[Any]
) -> MetricValue:
    """Return a metric of the outputs, and that of the constant answer."""
    found = measured(metric, outputs, targets)
    error = float(found.standard_error)
    of_constant = measured(metric, constant, targets).value
    return MetricValue(metric.name, found.value, error if np.isfinite(error) else None, of_constant)
