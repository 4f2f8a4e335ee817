"""The compiled programs of a training, as pure functions: steps, normalisation statistics, top-1.

The images stay on the device as uint8, one dispatch runs many steps, and what is random at a step follows from
(seed, step). An architecture is a static argument: each is compiled once in a process, for all seeds and lengths.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from nas.arch import ArchSpec
from nas.data import Augmentation, Dataset, augment, channel_stats, epoch_indices, to_input
from nas.nn.network import Moments, Weights, merged
from nas.training.devices import compute_dtype, copy_arrays
from nas.training.ema import ema_decay, ema_update
from nas.training.loss import smoothed_cross_entropy
from nas.training.optimizers import OptimizerConfig, make_optimizer

STATISTICS_IMAGES = 8192  # at most so many training images give the stored normalisation statistics


class TrainState(NamedTuple):
    """The state that a training carries from one step to the next."""

    step: Array
    params: Weights
    average: Weights  # running average of the parameters, which is what a training ends with
    optimizer: optax.OptState


class ImageSplit(NamedTuple):
    """The images of one split on the device, with the channel statistics that normalise them."""

    x: Array  # uint8 [N, r, r, C]
    y: Array  # int32 [N]
    mean: Array  # [C], of the training images
    std: Array

    def inputs(self, images: Array, arch: ArchSpec) -> Array:
        """Return uint8 images [B, r, r, C] as the input of `arch`: normalised, in the dtype of activations."""
        return to_input(images, self.mean, self.std, arch.input_shape.channels).astype(compute_dtype())


@dataclass(frozen=True)
class StepConfig:
    """The settings that the compiled training step depends on; one compilation serves all seeds."""

    arch: ArchSpec
    optimizer: OptimizerConfig
    steps: int
    warmup_fraction: float
    label_smoothing: float
    ema_decay: float
    augmentation: Augmentation

    def transform(self) -> optax.GradientTransformation:
        """Return the optimizer with its schedule."""
        return make_optimizer(self.optimizer, self.steps, self.warmup_fraction)


def init_state(step_config: StepConfig, params: Weights) -> TrainState:
    """Return the state before the first step; `params` become part of it, and are donated with it."""
    return TrainState(
        copy_arrays(np.int32(0)), params, copy_arrays(params), jax.jit(step_config.transform().init)(params)
    )


def image_splits(data: Dataset) -> tuple[ImageSplit, ImageSplit]:
    """Return the training and the test images of `data` on the device."""
    mean, std = map(jax.device_put, channel_stats(data))
    train_split = ImageSplit(jax.device_put(data.x_train), jax.device_put(data.y_train), mean, std)
    return train_split, ImageSplit(jax.device_put(data.x_test), jax.device_put(data.y_test), mean, std)


def loss_and_correct(arch: ArchSpec, params: Weights, x: Array, y: Array, smoothing: float) -> tuple[Array, Array]:
    """Return the loss under batch statistics, and how many of the images are classified correctly."""
    logits = merged(arch, params)(x, batch_stats=True)
    return smoothed_cross_entropy(logits, y, smoothing), jnp.sum(logits.argmax(1) == y)


def train_step(
    step_config: StepConfig, state: TrainState, rows: Array, key: Array, split: ImageSplit
) -> tuple[TrainState, Array, Array]:
    """Return the state after one step on the images `rows` [B], its loss, and how many it classified correctly."""
    images = augment(jax.random.fold_in(key, state.step), split.x[rows], step_config.augmentation)
    x, y = split.inputs(images, step_config.arch), split.y[rows]
    gradient_of = jax.value_and_grad(partial(loss_and_correct, step_config.arch), has_aux=True)
    (loss, correct), gradient = gradient_of(state.params, x, y, step_config.label_smoothing)
    updates, optimizer = step_config.transform().update(gradient, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    average = ema_update(state.average, params, ema_decay(state.step, step_config.ema_decay))
    return TrainState(state.step + 1, params, average, optimizer), loss, correct


@partial(jax.jit, static_argnames="step_config", donate_argnames="state")
def run_steps(
    step_config: StepConfig, state: TrainState, rows: Array, count: int, seed: int, split: ImageSplit
) -> tuple[TrainState, tuple[Array, Array]]:
    """Return the state after the first `count` steps on `rows` [S, B], and the sums of their losses and correct counts.

    The state is donated.
    """
    # The number of steps is an input of the program, and `rows` always has the same length, so that one compilation
    # serves dispatches of every length. That needs a `fori_loop`; a scan has a fixed number of steps.
    key = jax.random.key(seed)

    def body(i: Array, carry: tuple[TrainState, Array, Array]) -> tuple[TrainState, Array, Array]:
        state, losses, corrects = carry
        state, loss, correct = train_step(step_config, state, rows[i], key, split)
        return state, losses + loss, corrects + correct

    state, loss, correct = jax.lax.fori_loop(0, count, body, (state, jnp.float32(0), jnp.int32(0)))
    return state, (loss, correct)


def estimate_statistics(arch: ArchSpec, weights: Weights, split: ImageSplit, batch_size: int) -> Weights:
    """Return `weights` with normalisation statistics estimated on training images, not augmented.

    One pass under batch statistics over up to `STATISTICS_IMAGES` images.
    """
    rows = epoch_indices(0, 0, len(split.x), batch_size)[: max(1, STATISTICS_IMAGES // batch_size)]
    found = _pooled_moments(arch, weights, jax.device_put(rows), split)
    stored = {f"{name}.mean": mean for name, (mean, _) in found.items()}
    return weights | stored | {f"{name}.var": var for name, (_, var) in found.items()}


@partial(jax.jit, static_argnames="arch")
def _pooled_moments(arch: ArchSpec, weights: Weights, rows: Array, split: ImageSplit) -> Moments:
    """Return the means and variances over all the images `rows` [batches, B], exactly.

    Batches have equal sizes, so the variance of all is the mean of the variances within batches plus the variance of
    the batches' means.
    """
    network = merged(arch, weights)
    moments = jax.lax.map(lambda row: network.moments(split.inputs(split.x[row], arch)), rows)
    return {name: (mean.mean(0), var.mean(0) + mean.var(0)) for name, (mean, var) in moments.items()}


def top1_accuracy(arch: ArchSpec, weights: Weights, split: ImageSplit, batch_size: int = 256) -> float:
    """Return the fraction of the images of `split` that the network with stored statistics classifies correctly."""
    count = len(split.x)
    rows = jnp.arange(-(-count // batch_size) * batch_size).reshape(-1, batch_size)
    return int(_count_correct(arch, weights, rows, split)) / count


@partial(jax.jit, static_argnames="arch")
def _count_correct(arch: ArchSpec, weights: Weights, rows: Array, split: ImageSplit) -> Array:
    """Return how many of the images `rows` [batches, B] are classified correctly; rows beyond the last do not count."""
    network, count = merged(arch, weights), len(split.x)

    def of_batch(row: Array) -> Array:
        at = jnp.minimum(row, count - 1)  # the last batch is padded with the last image, which is not counted again
        correct = network(split.inputs(split.x[at], arch)).argmax(1) == split.y[at]
        return jnp.sum(correct & (row < count))

    return jnp.sum(jax.lax.map(of_batch, rows))
