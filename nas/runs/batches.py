"""The batches of a search: training and validation split of its images, and the order in which batches take them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from nas.data import epoch_indices, split_for_search
from nas.data.reinforced import Replays
from nas.data.split import permutation
from nas.runs.plan import SearchPlan
from nas.supernet.evaluator import SearchImages
from nas.training.devices import replicated
from nas.training.replays import ReplayTable, chosen_part, decoded_once
from nas.training.streaming import is_streamed, prefetched

Rows = NDArray[np.int32]


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
        table = self.replays and ReplayTable.of(self.replays, self.data.size)
        return self._on_device(self.train_rows, self.val_rows, table)

    @property
    def evaluation_images(self) -> SearchImages:
        """The images with the first `eval_images` of the validation set, on which accuracies are taken."""
        count = self.eval_images
        if is_streamed(self.data.x_train):
            return self._on_device(self.train_rows[:0], self.val_rows[:count])
        return replace(self.images, x_val=self.images.x_val[:count], y_val=self.images.y_val[:count])

    def dispatches(
        self, rows: Callable[[int], tuple[Rows, Rows]], steps: range, devices: Any,
        keys: Callable[[int, int], Any] | None = None,
    ) -> Iterator[tuple[SearchImages, Any, Any]]:  # fmt: skip
        """Yield the images of the dispatch at each of `steps`, with its training and validation rows among them.

        `rows` returns those rows of all images. All is on the device, or on `devices`. Images that are too many for
        memory come anew for each dispatch, decoded in a thread while the one before runs; of a reinforced data set
        `keys` returns for (step, steps of the dispatch) the keys by which its batches [...] are augmented.
        """
        if not is_streamed(self.data.x_train):
            images = replicated(self.images, devices)
            for step in steps:
                yield images, *replicated(jax.device_put(rows(step)), devices)
            return

        def part(step: int) -> tuple[SearchImages, Any, Any]:
            train, val = rows(step)
            return self._part(train, val, None if keys is None else keys(step, len(train)))

        for each in prefetched(part, steps):
            yield replicated(each, devices)

    @cached_property
    def replays(self) -> Replays | None:
        """The samples of the training set's images, mixed with one another alone; None of data not reinforced."""
        return self.data.replays and self.data.replays.of_rows(self.train_rows)

    def _part(self, train: Rows, val: Rows, keys: Any) -> tuple[SearchImages, Any, Any]:
        """Return the images `train` and `val` alone on the device, with their rows among these images."""
        if self.replays is None:
            images = self._on_device(self.train_rows[train].reshape(-1), self.val_rows[val].reshape(-1))
        else:
            table, needed = chosen_part(self.replays, self.data.size, train, keys)
            images = self._on_device(self.train_rows[needed], self.val_rows[val].reshape(-1), table)
        own = (np.arange(each.size, dtype=np.int32).reshape(each.shape) for each in (train, val))
        return images, *jax.device_put(tuple(own))

    def _on_device(self, train: Rows, val: Rows, replays: ReplayTable | None = None) -> SearchImages:
        """Return the images of the rows `train` and `val` of the training set, on the device."""
        x, y = self.data.x_train, self.data.y_train
        mean, std = self.data.channel_stats
        seen = x[train] if replays is None else decoded_once(x, train)
        return SearchImages(*map(jax.device_put, (seen, y[train], x[val], y[val], mean, std)), replays=replays)

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
