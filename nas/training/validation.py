"""Validation after each epoch of a training, early stopping, and the best weights so far.

Everything here is a function of the state at the end of an epoch. A training that is resumed from an earlier checkpoint
makes the rows and the best weights again as they were.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nas.data import Dataset
from nas.data.dataset import evenly_spaced
from nas.errors import InvalidInput
from nas.nn.network import Weights
from nas.nn.weight_file import read_tensors, write_tensors
from nas.records.history import EpochRow, History, load_history
from nas.tasks import clipped, measured
from nas.training.optimizers import cosine_schedule
from nas.training.step import ImageSplit, Split, StepConfig, TrainState, estimate_statistics, network_outputs

BEST = "best.safetensors"  # weights of the best epoch so far, of a training with patience
STATISTICS_IMAGES = 2048  # that give the normalisation statistics of a validation
SAMPLE = 1024  # training examples whose loss and score stand beside those of the validation
LARGEST_LOSS = 1e30  # in place of one that is no number


class EpochWatch:
    """Validates a training after each epoch, and tells when it should end."""

    def __init__(
        self, step_config: StepConfig, data: Dataset, splits: tuple[Split, Split], batch_size: int, patience: int,
        rest: Weights, folder: Path,
    ) -> None:  # fmt: skip
        """Watch a training of `data`, whose test examples are the validation; `rest` are the weights not trained."""
        self.step_config, self.data, self.folder, self.rest = step_config, data, folder, rest
        self.train, self.validation = splits
        self.batch_size, self.per_epoch = batch_size, len(data.y_train) // batch_size
        rows = evenly_spaced(len(data.y_train), SAMPLE)
        x, y = jax.device_put((np.asarray(data.x_train[rows]), data.y_train[rows]))
        self.sample = ImageSplit(x, y, self.train.mean, self.train.std)
        begun = History(data.task.score.title, len(rows), len(data.y_test), patience)
        self.history = replace(begun, rows=known.rows) if (known := load_history(folder)) else begun

    def rewind(self, done: int) -> None:
        """Forget the epochs behind the step that a training goes on from."""
        rows = self.history.rows[: done // self.per_epoch]
        self.history = replace(self.history, rows=rows)

    def steps_left(self, done: int) -> int:
        """Return how many steps there are from step `done` to the end of its epoch."""
        return self.per_epoch - done % self.per_epoch

    def after(self, state: TrainState, done: int) -> EpochRow | None:
        """Take down what the state is worth where step `done` ends an epoch, and keep its weights if it is the best."""
        if done % self.per_epoch:
            return None
        average = {name: jax.device_put(np.asarray(value)) for name, value in state.average.items()}
        row = self._row(average, done // self.per_epoch)
        self.history = replace(self.history, rows=(*self.history.rows, row))
        if self.history.patience and self.history.best == row:
            write_tensors(self.folder / BEST, average, {"epoch": str(row.epoch)})
        self.history.write(self.folder)
        return row

    def best_average(self, state: TrainState) -> dict[str, Any]:
        """Return the averaged weights that the training ends with: of the best epoch with patience, else the last."""
        best = self.history.best
        if not self.history.patience or best is None:
            return dict(state.average)
        weights, about = read_tensors(self.folder / BEST)
        if about.get("epoch") != str(best.epoch) or set(weights) != set(state.average):
            raise InvalidInput(f"{self.folder / BEST} is not of epoch {best.epoch}; train into another folder")
        return {name: jax.device_put(weights[name]) for name in state.average}

    def _row(self, average: Weights, epoch: int) -> EpochRow:
        c = self.step_config
        frozen = c.ingredients.fine_tuning.frozen_stages
        weights = estimate_statistics(
            c.arch, self.rest | average, self.train, self.batch_size, frozen, STATISTICS_IMAGES
        )
        rate = cosine_schedule(c.optimizer.learning_rate, c.steps, c.warmup_fraction, c.ingredients.final_rate)
        of_training, of_validation = (self._worth(weights, split) for split in (self.sample, self.validation))
        return EpochRow(epoch, float(rate(epoch * self.per_epoch - 1)), *of_training, *of_validation)

    def _worth(self, weights: Weights, split: Split) -> tuple[float, float]:
        """Return loss and score on a split."""
        task, targets = self.data.task, np.asarray(split.y)
        outputs = network_outputs(self.step_config.arch, weights, split)
        loss = float(task.loss(outputs, targets))
        score = clipped(measured(task.score, outputs, task.scaled(targets)).value)
        return (loss if math.isfinite(loss) else LARGEST_LOSS), score
