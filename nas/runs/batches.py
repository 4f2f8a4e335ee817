"""The pictures of a search: which train the weights, which are held out for rewards, and in what order both come."""

from dataclasses import replace
from functools import cached_property

import jax
import numpy as np
from numpy.typing import NDArray

from nas.data import at_resolution, channel_stats, epoch_indices, split_for_search
from nas.data.split import permutation
from nas.runs.plan import SearchPlan
from nas.supernet.evaluator import SearchImages


class BatchSampler:
    """The training set of a plan at the proxy's resolution, split by the plan's seed."""

    def __init__(self, plan: SearchPlan) -> None:
        preset, seed = plan.preset, plan.settings.seed
        self.data = at_resolution(plan.dataset, plan.proxy_resolution)
        self.train_rows, held = split_for_search(plan.dataset, preset.held_out_fraction, seed)
        self.held_rows = held[permutation(len(held), seed, 1)]
        self.reward_batch = min(preset.reward_batch, len(held))
        self.batch = min(preset.batch, len(self.train_rows))
        self.eval_pictures = preset.eval_pictures

    @cached_property
    def pictures(self) -> SearchImages:
        """The pictures on the device: the training part, and the held-out part in a fixed random order."""
        mean, std = channel_stats(self.data)
        x, y = self.data.x_train, self.data.y_train
        held = self.held_rows
        return SearchImages(*map(jax.device_put, (x[self.train_rows], y[self.train_rows], x[held], y[held], mean, std)))

    @property
    def evaluated(self) -> SearchImages:
        """The same with no more held-out pictures than accuracies are taken on."""
        most = self.eval_pictures
        return replace(self.pictures, x_held=self.pictures.x_held[:most], y_held=self.pictures.y_held[:most])

    def train_batches(self, seed: int, start: int, count: int) -> NDArray[np.int32]:
        """Return the training indices [count, batch] of the batches from `start` on, of the stream `seed`."""
        return _stream(seed, len(self.train_rows), self.batch, start, count)

    def reward_batches(self, seed: int, start: int, count: int) -> NDArray[np.int32]:
        """Return the held-out indices [count, reward_batch] of the batches from `start` on, of the stream `seed`."""
        return _stream(seed, len(self.held_rows), self.reward_batch, start, count)


def _stream(seed: int, pictures: int, batch: int, start: int, count: int) -> NDArray[np.int32]:
    """Return batches `start` to `start + count` of an endless walk through shuffled epochs, as [count, batch]."""
    per_epoch = pictures // batch
    epochs = range(start // per_epoch, (start + count - 1) // per_epoch + 1)
    batches = np.concatenate([epoch_indices(seed, epoch, pictures, batch) for epoch in epochs])
    first = start - epochs[0] * per_epoch
    return batches[first : first + count]
