"""Regression: K numbers per example. The loss is MSE, MAE or 1 - CCC, on targets standardised by the training set.

A search maximises a bounded score that rises with the quality of the loss: R2 for MSE, the skill score 1 - MAE / MAE
of the mean predictor for MAE, CCC for itself. All are 1 at best, and 0 is what the mean of the targets gets.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from nas.tasks.metric import R2, Concordance, MeanAbsoluteError, MeanSquaredError, Metric, SkillMAE
from nas.tasks.split import random_split
from nas.tasks.task import Array, Meaning, Rows

Loss = Literal["mse", "mae", "ccc"]
OWN: dict[str, tuple[Metric, Metric]] = {  # loss -> what reports say first, and what searches maximise
    "mse": (MeanSquaredError(), R2()), "mae": (MeanAbsoluteError(), SkillMAE()), "ccc": (Concordance(), Concordance()),
}  # fmt: skip


@dataclass(frozen=True)
class Regression:
    """The task of numbers [N, K], with their means and standard deviations over the training set."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    objective: Loss = "mse"

    outputs: ClassVar[Meaning] = "numbers"

    @classmethod
    def of(cls, targets: NDArray[Any], objective: Loss = "mse") -> "Regression":
        """Return the task of training targets [N, K]; a target without variation has a deviation of 1."""
        mean, std = targets.mean(0, dtype=np.float64), targets.std(0, dtype=np.float64)
        varies = std > 1e-6 * np.maximum(np.abs(mean), 1e-30)
        return cls(tuple(mean.tolist()), tuple(np.where(varies, std, 1.0).tolist()), objective)

    @property
    def kind(self) -> str:
        """The name, with the loss where that is not MSE."""
        return "regression" if self.objective == "mse" else f"regression-{self.objective}"

    @property
    def score(self) -> Metric:
        """R2, the skill of the MAE, or CCC."""
        return OWN[self.objective][1]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """That of the loss first, then the others."""
        every = (OWN[self.objective][0], MeanAbsoluteError(), R2(), Concordance())
        return tuple({metric.name: metric for metric in every}.values())

    def scaled(self, targets: Array) -> Array:
        """Return the targets less their means, in standard deviations."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return (targets - mean) / std

    def loss(self, outputs: Array, targets: Array) -> Array:
        """Return MSE, MAE or 1 - CCC of the batch, in standard deviations of the targets."""
        return self._loss(outputs, self.scaled(targets))

    def _loss(self, outputs: Array, standard: Array) -> Array:
        """Return the loss against standardised targets."""
        own = OWN[self.objective][0]
        value = own.of_batch(outputs.astype("float32"), standard)
        return 1 - value if own.higher_is_better else value

    def soft(self, targets: Array, count: int) -> Array:
        """Return the standardised targets."""
        return self.scaled(targets)

    def distil(self, outputs: Array, soft: Array, targets: Array) -> Array:
        """Return the loss against the outputs of a teacher."""
        return self._loss(outputs, soft)

    def taught(self, outputs: Array) -> Array:
        """Return the outputs."""
        return outputs

    def configured(self, label_smoothing: float, class_weights: tuple[float, ...]) -> "Regression":
        """Return the task as it is: neither smoothing nor weights of classes mean anything here."""
        return self

    def split(self, targets: NDArray[Any], count: int, seed: int) -> tuple[Rows, Rows]:
        """Return (rows, `count` validation rows) at random, fixed by the seed."""
        return random_split(len(targets), count, seed)

    def constant(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        """Return 0 for each target: their means over the training set."""
        return np.zeros(len(self.mean))

    def rescaling(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return means and deviations, by which outputs become numbers in the unit of the targets."""
        return self.mean, self.std
