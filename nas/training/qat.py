"""Quantisation-aware training: the last steps of a training, with weights and activations rounded as in int8.

Jacob et al., arXiv 1712.05877, section 3: normalisation is folded into the weights, both are rounded in the forward
pass, gradients pass straight through where nothing is clipped, and the ranges of the activations are running averages.
It begins late, from the trained network with calibrated ranges, and ends with the ranges fixed (Wu et al., arXiv
2004.09602, section 6: a tenth of the schedule, at a hundredth of the learning rate, a cosine). The normalisation has
the statistics of the training images and keeps them, so that what is trained is what a file holds.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.data import epoch_indices
from nas.errors import InvalidInput
from nas.nn.network import Weights
from nas.quantisation.calibrate import calibrated_ranges, for_all_tensors
from nas.quantisation.forward import Numbers, numbers_of, on_device, run
from nas.quantisation.grid import Range
from nas.quantisation.program import folded, program_of
from nas.training.devices import copy_arrays
from nas.training.optimizers import make_optimizer
from nas.training.qat_config import QATConfig
from nas.training.step import Batch, ImageSplit, Split, StepConfig, loss_and_score_of, step_key

CALIBRATION_IMAGES = 512  # that the first ranges are taken from
LEAST_STEPS = 2  # of a training for int8: one in floats, one in int8
BATCH = 64  # of a calibration and of a test


class QATState(NamedTuple):
    """The state that is carried from one step to the next; `low` and `high` are the ranges, by `Program.observed`."""

    step: Array
    params: Weights
    optimizer: optax.OptState
    low: Array
    high: Array


@dataclass(frozen=True)
class QATStepConfig:
    """The settings that the compiled step depends on; `first` is the number of its first step in the training."""

    step: StepConfig
    qat: QATConfig
    first: int
    steps: int

    def transform(self) -> optax.GradientTransformation:
        """Return the optimizer with its schedule, a cosine from the small learning rate to 0."""
        known: Any = self.step.optimizer
        made = make_optimizer(replace(known, learning_rate=known.learning_rate * self.qat.rate), self.steps)
        return self.step.ingredients.fine_tuning.scaled(made, len(self.step.arch.stages))

    @property
    def fixed_from(self) -> int:
        """The step of the training from which on the ranges are fixed."""
        return self.first + self.steps - round(self.qat.fixed_share * self.steps)


def check_int8(arch: ArchSpec, steps: int) -> None:
    """Raise `InvalidInput` where a network has no int8 form, or where a training is too short for steps in int8."""
    program_of(arch)
    if steps < LEAST_STEPS:
        raise InvalidInput("a training for int8 needs at least 2 steps; give more epochs, or leave --quantize out")


def init_qat(config: QATStepConfig, params: Weights, ranges: Mapping[str, Range]) -> QATState:
    """Return the state before the first step in int8; `params` become part of it."""
    names = program_of(config.step.arch).observed
    low, high = (np.array([ranges[name][end] for name in names], np.float32) for end in (0, 1))
    optimizer = jax.jit(config.transform().init)(params)
    return QATState(copy_arrays(np.int32(config.first)), params, optimizer, *jax.device_put((low, high)))


def first_ranges(arch: ArchSpec, weights: Weights, split: Split) -> dict[str, Range]:
    """Return the extremes of all tensors of the float32 network on some training images, not augmented."""
    return calibrated_ranges(arch, lambda name, _: np.asarray(weights[name]), _some_inputs(arch, split))


def _some_inputs(arch: ArchSpec, split: Split) -> Iterator[NDArray[np.float32]]:
    """Yield some training images as inputs of the network, batch by batch."""
    size = min(BATCH, split.images)
    rows = epoch_indices(0, 0, split.images, size)[: max(1, CALIBRATION_IMAGES // size)]
    for part, indices in split.parts(rows):
        for row in np.asarray(indices):
            yield np.asarray(part.inputs(part.x[row], arch), np.float32)


def ranges_of(arch: ArchSpec, state: QATState) -> dict[str, Range]:
    """Return the ranges of all tensors by name."""
    program = program_of(arch)
    ends = zip(np.asarray(state.low).tolist(), np.asarray(state.high).tolist(), strict=True)
    return for_all_tensors(program, dict(zip(program.observed, ends, strict=True)))


def _loss(
    config: QATStepConfig, params: Weights, rest: Weights, ends: tuple[Array, Array], batch: Batch
) -> tuple[Array, tuple[Array, tuple[Array, Array]]]:  # fmt: skip
    """Return the loss of the rounded network, its score, and the extremes of its tensors on this batch."""
    arch = config.step.arch
    program, whole = program_of(arch), params | rest
    ranges: Any = {name: (ends[0][i], ends[1][i]) for i, name in enumerate(program.observed)}
    tensors: Any = lambda name, _: whole[name]  # noqa: E731
    weights = folded(arch, tensors, in_double=False)
    seen: dict[str, tuple[Array, Array]] = {}
    outputs = run(program, numbers_of(program, weights, ranges), batch.x, seen=seen)
    low, high = (jnp.stack([seen[name][end] for name in program.observed]) for end in (0, 1))
    loss, score = loss_and_score_of(config.step, outputs, batch)
    return loss, (score, jax.lax.stop_gradient((low, high)))


def qat_step(
    config: QATStepConfig, state: QATState, rest: Weights, rows: Array, key: Array, split: ImageSplit
) -> tuple[QATState, Array, Array]:
    """Return the state after one step in int8 on the images `rows` [B], its loss, and the score of its outputs."""
    c = config.step
    batch = split.batch(step_key(key, state.step), rows, c)
    loss_of = partial(_loss, config, rest=rest, ends=(state.low, state.high), batch=batch)
    (loss, (score, ends)), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, optimizer = config.transform().update(gradient, state.optimizer, state.params)
    part = jnp.where(state.step < config.fixed_from, 1 - config.qat.range_decay, 0.0)
    low, high = (old + part * (new - old) for old, new in zip((state.low, state.high), ends, strict=True))
    return (
        QATState(state.step + 1, optax.apply_updates(state.params, updates), optimizer, low, high),
        loss,
        score,
    )


@partial(jax.jit, static_argnames="config", donate_argnames="state")
def run_qat_steps(
    config: QATStepConfig, state: QATState, rest: Weights, rows: Array, count: int, seed: int, split: ImageSplit
) -> tuple[QATState, tuple[Array, Array]]:
    """Return the state after the first `count` steps on `rows` [S, B], and the sums of losses and scores.

    `rest` are the weights that are not trained: statistics, and those of frozen stages. The state is
    donated; see `nas.training.step.run_steps`.
    """
    key = jax.random.key(seed)

    def body(i: Array, carry: tuple[QATState, Array, Array]) -> tuple[QATState, Array, Array]:
        state, losses, scores = carry
        state, loss, score = qat_step(config, state, rest, rows[i], key, split)
        return state, losses + loss, scores + score

    state, loss, score = jax.lax.fori_loop(0, count, body, (state, jnp.float32(0), jnp.float32(0)))
    return state, (loss, score)


def int8_outputs(
    arch: ArchSpec, weights: Mapping[str, Any], ranges: Mapping[str, Range], split: Split, floats: Collection[str] = ()
) -> NDArray[np.float32]:
    """Return the outputs [N, K] of the network in int8 for each image of `split`: what its file gives.

    The layers `floats` stay in float32.
    """
    program = program_of(arch)
    tensors = folded(arch, lambda name, _: np.asarray(weights[name]))
    numbers = on_device(numbers_of(program, tensors, ranges, floats))
    count, size = split.images, min(BATCH, split.images)
    padded = np.arange(-(-count // size) * size, dtype=np.int32)
    rows = np.minimum(padded, count - 1).reshape(-1, size)
    found = [np.asarray(_int8_outputs(arch, numbers, part, images)) for images, part in split.parts(rows)]
    return np.concatenate([each.reshape(-1, each.shape[-1]) for each in found])[:count]


@partial(jax.jit, static_argnames="arch")
def _int8_outputs(arch: ArchSpec, numbers: Numbers, rows: Array, split: ImageSplit) -> Array:
    """Return the outputs for each of the images `rows` [batches, B]."""
    program = program_of(arch)
    return jax.lax.map(lambda row: run(program, numbers, split.inputs(split.x[row], arch)), rows)
