"""Networks trained alone side by side, with the same images in the same order, and compared image by image.

Each network is one compiled program: all steps, then its answers on the validation images under the statistics of each
batch. Two of them are compiled at the same time. Nothing depends on a clock: the number of steps is given.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.data import Dataset, epoch_indices
from nas.nn.network import merged, split_statistics
from nas.tasks import score_contributions
from nas.training.loop import TrainingConfig, initial_params
from nas.training.step import ImageSplit, StepConfig, TrainState, image_splits, init_state, train_step

EVALUATION_BATCH = 128  # validation images over which normalisation statistics are taken


@dataclass(frozen=True)
class Comparison:
    """What networks are trained on, and for how long; `data` has the validation images in place of the test images."""

    data: Dataset
    config: TrainingConfig  # its epochs do not count
    steps: int

    def rows(self) -> NDArray[np.int32]:
        """Return the image indices [steps, batch], the same for every network."""
        images, batch = len(self.data.x_train), self.config.batch_size
        epochs = -(-self.steps // (images // batch))
        orders = [epoch_indices(self.config.seed, epoch, images, batch) for epoch in range(epochs)]
        return np.concatenate(orders)[: self.steps]

    def step_config(self, arch: ArchSpec) -> StepConfig:
        """Return what the compiled step of a network depends on."""
        c = self.config
        return StepConfig(
            arch, c.optimizer, self.steps, c.warmup_fraction, self.data.task.configured(c.label_smoothing, ()),
            c.ema_decay, self.data.augmentation,
        )  # fmt: skip


def train_side_by_side(archs: Sequence[ArchSpec], comparison: Comparison) -> list[NDArray[Any]]:
    """Train each network from random weights, and return what each validation image then adds to its score.

    Of classification that is whether it is classified correctly; see `nas.tasks.score_contributions`.
    """
    train, validation = image_splits(comparison.data)
    rows = jax.device_put(comparison.rows())
    states = [_initial(arch, comparison) for arch in archs]
    lowered = [
        _program(arch, comparison).lower(state, rows, train, validation)
        for arch, state in zip(archs, states, strict=True)
    ]
    with ThreadPoolExecutor(len(lowered)) as threads:  # XLA compiles without holding Python's lock
        programs = list(threads.map(lambda one: one.compile(), lowered))
    found = [np.asarray(run(state, rows, train, validation)) for run, state in zip(programs, states, strict=True)]
    jax.clear_caches()
    task, targets = comparison.data.task, comparison.data.y_test
    return [score_contributions(task, outputs, targets) for outputs in found]


def _initial(arch: ArchSpec, comparison: Comparison) -> TrainState:
    """Return the state of a network before its first step."""
    params, _ = split_statistics(initial_params(arch, comparison.config.seed, None))
    return init_state(comparison.step_config(arch), params)


def _program(arch: ArchSpec, comparison: Comparison) -> Any:
    """Return the jitted function (state, rows, training images, validation images) -> outputs for the last [N, K]."""
    step_config, seed = comparison.step_config(arch), comparison.config.seed

    def run(state: TrainState, rows: Array, train: ImageSplit, validation: ImageSplit) -> Array:
        key = jax.random.key(seed)
        state = lax.fori_loop(0, len(rows), lambda i, s: train_step(step_config, s, rows[i], key, train)[0], state)
        return _outputs(arch, state, validation)

    return jax.jit(run)


def _outputs(arch: ArchSpec, state: TrainState, images: ImageSplit) -> Array:
    """Return the outputs of the running average of the weights for all images, [N, K]."""
    network, count = merged(arch, state.average), len(images.x)
    batch = min(EVALUATION_BATCH, count)
    starts = -(-count // batch)
    rows = jnp.minimum(jnp.arange(starts * batch), count - 1).reshape(starts, batch)  # the last image fills the batch

    def of_batch(row: Array) -> Array:
        return network(images.inputs(images.x[row], arch), batch_stats=True)

    outputs = lax.map(of_batch, rows)
    return outputs.reshape(-1, outputs.shape[-1])[:count]
