"""The images of a search: which train the weights, which are held out for rewards, and in what order both come."""

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
        self.train_rows, val = split_for_search(plan.dataset, preset.validation_fraction, seed)
        self.val_rows = val[permutation(len(val), seed, 1)]
        self.reward_batch = min(preset.reward_batch, len(val))
        self.batch = min(preset.batch, len(self.train_rows))
        self.eval_images = preset.eval_images

    @cached_property
    def images(self) -> SearchImages:
        """The images on the device: the training part, and the validation part in a fixed random order."""
        mean, std = channel_stats(self.data)
        x, y = self.data.x_train, self.data.y_train
        val = self.val_rows
        return SearchImages(*map(jax.device_put, (x[self.train_rows], y[self.train_rows], x[val], y[val], mean, std)))

    @property
    def evaluated(self) -> SearchImages:
        """The same with no more validation images than accuracies are taken on."""
        most = self.eval_images
        return replace(self.images, x_val=self.images.x_val[:most], y_val=self.images.y_val[:most])

    def train_batches(self, seed: int, start: int, count: int) -> NDArray[np.int32]:
        """Return the training indices [count, batch] of the batches from `start` on, of the stream `seed`."""
        return _stream(seed, len(self.train_rows), self.batch, start, count)

    def reward_batches(self, seed: int, start: int, count: int) -> NDArray[np.int32]:
        """Return the validation indices [count, reward_batch] of the batches from `start` on, of the stream `seed`."""
        return _stream(seed, len(self.val_rows), self.reward_batch, start, count)


def _stream(seed: int, images: int, batch: int, start: int, count: int) -> NDArray[np.int32]:
    """Return batches `start` to `start + count` of an endless walk through shuffled epochs, as [count, batch]."""
    per_epoch = images // batch
    epochs = range(start // per_epoch, (start + count - 1) // per_epoch + 1)
    batches = np.concatenate([epoch_indices(seed, epoch, images, batch) for epoch in epochs])
    first = start - epochs[0] * per_epoch
    return batches[first : first + count]
