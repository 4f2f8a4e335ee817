"""The batches of a search: training and validation split of its images, and the order in which batches take them."""

from dataclasses import replace
from functools import cached_property

import jax
import numpy as np
from numpy.typing import NDArray

from nas.data import channel_stats, epoch_indices, split_for_search
from nas.data.split import permutation
from nas.runs.plan import SearchPlan
from nas.supernet.evaluator import SearchImages


class BatchSampler:
    """Splits the training set of a plan by its seed, at the proxy's resolution, and samples batches of both parts."""

    def __init__(self, plan: SearchPlan) -> None:
        preset, seed = plan.preset, plan.settings.seed
        self.data = plan.proxy_dataset
        self.train_rows, val = split_for_search(plan.dataset, preset.validation_fraction, seed)
        self.val_rows = val[permutation(len(val), seed, 1)]
        self.reward_batch = min(preset.reward_batch, len(val))
        self.batch = min(preset.batch, len(self.train_rows))
        self.eval_images = preset.eval_images

    @cached_property
    def images(self) -> SearchImages:
        """All images on the device: the training set, and the validation set in a fixed random order."""
        mean, std = channel_stats(self.data)
        x, y = self.data.x_train, self.data.y_train
        val = self.val_rows
        return SearchImages(*map(jax.device_put, (x[self.train_rows], y[self.train_rows], x[val], y[val], mean, std)))

    @property
    def evaluation_images(self) -> SearchImages:
        """The images with the first `eval_images` of the validation set, on which accuracies are taken."""
        count = self.eval_images
        return replace(self.images, x_val=self.images.x_val[:count], y_val=self.images.y_val[:count])

    def train_batches(self, seed: int, start: int, count: int) -> NDArray[np.int32]:
        """Return training indices [count, batch]: the batches from number `start` on of the stream `seed`."""
        return _stream(seed, len(self.train_rows), self.batch, start, count)

    def reward_batches(self, seed: int, start: int, count: int) -> NDArray[np.int32]:
        """Return validation indices [count, reward_batch]: the batches from number `start` on of the stream `seed`."""
        return _stream(seed, len(self.val_rows), self.reward_batch, start, count)


def _stream(seed: int, images: int, batch: int, start: int, count: int) -> NDArray[np.int32]:
    """Return batches `start` to `start + count` of an endless sequence of shuffled epochs, as [count, batch]."""
    per_epoch = images // batch
    epochs = range(start // per_epoch, (start + count - 1) // per_epoch + 1)
    batches = np.concatenate([epoch_indices(seed, epoch, images, batch) for epoch in epochs])
    first = start - epochs[0] * per_epoch
    return batches[first : first + count]
