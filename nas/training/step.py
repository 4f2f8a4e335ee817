"""The compiled parts of training one network alone, as pure functions: step, chunk of steps, statistics, test accuracy.

The pictures stay on the device as uint8, one dispatch runs many steps, and what is random at a step follows from
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

STATISTICS_PICTURES = 8192  # at most so many training pictures give the stored normalisation statistics


class TrainState(NamedTuple):
    """Everything that a step changes."""

    step: Array
    params: Weights
    average: Weights
    optimizer: optax.OptState


class ImageSplit(NamedTuple):
    """Pictures on the device, and what turns them into the network's input."""

    x: Array  # uint8 [N, r, r, C]
    y: Array  # int32 [N]
    mean: Array  # [C], of the training pictures
    std: Array

    def inputs(self, pictures: Array, arch: ArchSpec) -> Array:
        """Return [B, r, r, channels of `arch`] in the dtype that networks compute in."""
        return to_input(pictures, self.mean, self.std, arch.input_shape.channels).astype(compute_dtype())


@dataclass(frozen=True)
class StepConfig:
    """What the compiled program of a training step depends on; one compilation serves all seeds."""

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


def init_state(recipe: StepConfig, params: Weights) -> TrainState:
    """Return the state before the first step; `params` become part of it."""
    return TrainState(copy_arrays(np.int32(0)), params, copy_arrays(params), jax.jit(recipe.transform().init)(params))


def image_splits(data: Dataset) -> tuple[ImageSplit, ImageSplit]:
    """Return the training and the test pictures of `data` on the device."""
    mean, std = map(jax.device_put, channel_stats(data))
    train_feed = ImageSplit(jax.device_put(data.x_train), jax.device_put(data.y_train), mean, std)
    return train_feed, ImageSplit(jax.device_put(data.x_test), jax.device_put(data.y_test), mean, std)


def loss_and_correct(arch: ArchSpec, params: Weights, x: Array, y: Array, smoothing: float) -> tuple[Array, Array]:
    """Return the loss under batch statistics, and how many of the pictures are classified rightly."""
    logits = merged(arch, params)(x, batch_stats=True)
    return smoothed_cross_entropy(logits, y, smoothing), jnp.sum(logits.argmax(1) == y)


def train_step(
    recipe: StepConfig, state: TrainState, rows: Array, key: Array, feed: ImageSplit
) -> tuple[TrainState, Array, Array]:
    """Return the state after one step on the pictures `rows` [B], its loss, and how many it classified rightly."""
    pictures = augment(jax.random.fold_in(key, state.step), feed.x[rows], recipe.augmentation)
    x, y = feed.inputs(pictures, recipe.arch), feed.y[rows]
    grade = jax.value_and_grad(partial(loss_and_correct, recipe.arch), has_aux=True)
    (loss, right), gradient = grade(state.params, x, y, recipe.label_smoothing)
    updates, optimizer = recipe.transform().update(gradient, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    average = ema_update(state.average, params, ema_decay(state.step, recipe.ema_decay))
    return TrainState(state.step + 1, params, average, optimizer), loss, right


@partial(jax.jit, static_argnames="recipe", donate_argnames="state")
def run_chunk(
    recipe: StepConfig, state: TrainState, rows: Array, count: int, seed: int, feed: ImageSplit
) -> tuple[TrainState, tuple[Array, Array]]:
    """Return the state after the first `count` of `rows` [S, B], and the sums of their losses and right answers.

    The count is an input of the program: one compilation serves chunks of every length. The state is donated.
    """
    key = jax.random.key(seed)

    def body(i: Array, carry: tuple[TrainState, Array, Array]) -> tuple[TrainState, Array, Array]:
        state, losses, rights = carry
        state, loss, right = train_step(recipe, state, rows[i], key, feed)
        return state, losses + loss, rights + right

    state, loss, right = jax.lax.fori_loop(0, count, body, (state, jnp.float32(0), jnp.int32(0)))
    return state, (loss, right)


def estimated_statistics(arch: ArchSpec, weights: Weights, feed: ImageSplit, batch_size: int) -> Weights:
    """Return `weights` with the stored means and variances of training pictures as they are, not augmented.

    One pass under batch statistics over up to `STATISTICS_PICTURES`; means and variances are pooled exactly over the
    batches: the variance of all is the mean variance within batches plus the variance of the batches' means.
    """
    rows = epoch_indices(0, 0, len(feed.x), batch_size)[: max(1, STATISTICS_PICTURES // batch_size)]
    found = _pooled_moments(arch, weights, jax.device_put(rows), feed)
    stored = {f"{name}.mean": mean for name, (mean, _) in found.items()}
    return weights | stored | {f"{name}.var": var for name, (_, var) in found.items()}


@partial(jax.jit, static_argnames="arch")
def _pooled_moments(arch: ArchSpec, weights: Weights, rows: Array, feed: ImageSplit) -> Moments:
    network = merged(arch, weights)
    moments = jax.lax.map(lambda row: network.moments(feed.inputs(feed.x[row], arch)), rows)
    return {name: (mean.mean(0), var.mean(0) + mean.var(0)) for name, (mean, var) in moments.items()}


def top1(arch: ArchSpec, weights: Weights, feed: ImageSplit, batch_size: int = 256) -> float:
    """Return the fraction of the pictures of `feed` that the network with stored statistics classifies rightly."""
    count = len(feed.x)
    rows = jnp.arange(-(-count // batch_size) * batch_size).reshape(-1, batch_size)
    return int(_count_correct(arch, weights, rows, feed)) / count


@partial(jax.jit, static_argnames="arch")
def _count_correct(arch: ArchSpec, weights: Weights, rows: Array, feed: ImageSplit) -> Array:
    network, count = merged(arch, weights), len(feed.x)

    def of_batch(row: Array) -> Array:
        at = jnp.minimum(row, count - 1)  # the last batch is filled up, and the filling not counted
        right = network(feed.inputs(feed.x[at], arch)).argmax(1) == feed.y[at]
        return jnp.sum(right & (row < count))

    return jnp.sum(jax.lax.map(of_batch, rows))
