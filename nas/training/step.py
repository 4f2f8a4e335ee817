"""The compiled programs of a training, as pure functions: steps, normalisation statistics, predictions.

The images stay on the device as uint8 (or come to it part by part, see nas.training.streaming), one dispatch runs many
steps, and what is random at a step follows from (seed, step). An architecture is a static argument: each is compiled
once in a process, for all seeds and lengths.
"""

from collections.abc import Iterator
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
from nas.data import Augmentation, Dataset, ImageFiles, augment, augmented_input, epoch_indices, to_input
from nas.data.random_augment import randomly_augmented
from nas.data.reinforced import Replays
from nas.nn.network import CLASSIFIER, Moments, Weights, merged, statistics_of
from nas.ops import Size
from nas.search.selection import score_error
from nas.tasks import Task, clipped, loss_of_batch, score_of_batch
from nas.training.devices import compute_dtype, copy_arrays, sharded
from nas.training.ema import ema_decay, ema_update
from nas.training.fine_tuning import FineTuning
from nas.training.ingredients import NONE, Ingredients, Precision
from nas.training.mixing import mixed, mixed_targets
from nas.training.optimizers import OptimizerConfig, make_optimizer
from nas.training.regularised import regularised
from nas.training.replays import ReplayTable, chosen_part, decoded_once
from nas.training.streaming import batches_per_part, decoded, is_streamed, prefetched
from nas.training.teaching import TeacherArrays, Teaching
from nas.training.two_teachers import TwoTeacherArrays, TwoTeachings

STATISTICS_IMAGES = 8192  # at most so many training images give the stored normalisation statistics
RANDOM_AUGMENT, MIXING, REGULARISATION = 2, 3, 4  # streams of the random numbers of a step; 1 is of replays


class TrainState(NamedTuple):
    """The state that a training carries from one step to the next."""

    step: Array
    params: Weights
    average: Weights  # running average of the parameters, which is what a training ends with
    optimizer: optax.OptState


class Batch(NamedTuple):
    """The examples of a step."""

    x: Array  # the input of the network [B, H, W, C]
    y: Array  # their targets
    soft: Array | None = None  # soft targets [B, K] in place of these: of a reinforced data set, or of mixed images
    answers: Array | None = None  # outputs of a teacher for the same images


class ImageSplit(NamedTuple):
    """The images of one split on the device, with the channel statistics that normalise them."""

    x: Array  # uint8 [N, H, W, C], or numbers float32
    y: Array  # int32 [N], or float32 [N, K]: the targets
    mean: Array  # [C], of the training images
    std: Array
    replays: ReplayTable | None = None  # of a reinforced data set
    teacher: TeacherArrays | TwoTeacherArrays | None = None  # of a training with one or two

    def inputs(self, images: Array, arch: ArchSpec, precision: Precision = "auto") -> Array:
        """Return images or numbers [B, H, W, C] as the input of `arch`: normalised, in the dtype of activations."""
        x = to_input(images, self.mean, self.std, arch.input_shape.channels)
        return x if is_waveform(images) else x.astype(compute_dtype(precision))

    def training_inputs(
        self, key: Array, rows: Array, arch: ArchSpec, augmentation: Augmentation, precision: Precision = "auto"
    ) -> Array:
        """Return the examples `rows` [B], augmented, as the input of `arch`."""
        channels = arch.input_shape.channels
        x = augmented_input(key, self.x[rows], augmentation, self.mean, self.std, channels)
        return x if is_waveform(self.x) else x.astype(compute_dtype(precision))

    def batch(self, key: Array, rows: Array, step_config: "StepConfig") -> Batch:
        """Return the examples `rows` [B] with their targets as a step sees them.

        They are augmented as data set and recipe say, or replayed where the data set is reinforced; a teacher answers
        for the very images that the network sees.
        """
        c, ingredients = step_config, step_config.ingredients
        precision, y = ingredients.precision, self.y[rows]
        if ingredients.changes_images or (c.teaching is not None and self.teacher is not None):
            shown, soft = self._shown(key, rows, c)
            answers = None if c.teaching is None or self.teacher is None else c.teaching.answers(self.teacher, shown)
            return Batch(self.inputs(shown, c.arch, precision), y, soft, answers)
        if self.replays is None:
            return Batch(self.training_inputs(key, rows, c.arch, c.augmentation, precision), y)
        shown, soft = self.replays.batch(key, self.x, rows, c.arch.num_classes)
        return Batch(self.inputs(shown, c.arch, precision), y, soft)

    def _shown(self, key: Array, rows: Array, c: "StepConfig") -> tuple[Array, Array | None]:
        """Return the images `rows` [B] as data set and recipe augment and mix them, and the targets of mixed ones."""
        own, mixing = c.ingredients.augmentation, c.ingredients.mixing
        of_data = replace(c.augmentation, shift_px_fraction=0.0) if own.crop_area else c.augmentation
        shown = augment(key, self.x[rows], of_data)
        if not own.is_none:
            shown = randomly_augmented(jax.random.fold_in(key, RANDOM_AUGMENT), shown, own)
        if mixing.is_none:
            return shown, None
        shown, partner, share = mixed(jax.random.fold_in(key, MIXING), shown, mixing)
        return shown, mixed_targets(c.task.soft(self.y[rows], c.arch.num_classes), partner, share)

    @property
    def images(self) -> int:
        """How many images the split has."""
        return len(self.x)

    def parts(self, rows: NDArray[np.int32]) -> Iterator[tuple["ImageSplit", Array]]:
        """Yield images on the device with the rows of batches among them: here all, and `rows` [S, B] themselves."""
        yield self, jax.device_put(rows)


@dataclass(frozen=True, eq=False)
class StreamedSplit:
    """The images of one split in files that are too many for memory; `parts` brings them to the device."""

    x: ImageFiles
    y: NDArray[Any]  # targets
    mean: Array
    std: Array
    replays: Replays | None = None  # of a reinforced data set

    @property
    def images(self) -> int:
        """How many images the split has."""
        return len(self.x)

    @property
    def images_each(self) -> int:
        """How many images an example of a training step takes: two where others may be mixed into them."""
        return 1 if self.replays is None else 2

    def part(self, rows: NDArray[np.int32]) -> ImageSplit:
        """Return the images of batches `rows` [S, B] alone, in this order, on the device."""
        x, y = jax.device_put((decoded(self.x, rows), self.y[rows.reshape(-1)]))
        return ImageSplit(x, y, self.mean, self.std)

    def training_part(self, rows: NDArray[np.int32], seed: int, first: int) -> ImageSplit:
        """Return `part` for the training steps from step `first` on; reinforced images with the samples they draw."""
        if self.replays is None:
            return self.part(rows)
        size = Size(*self.x.shape[1:3])
        table, needed = chosen_part(self.replays, size, rows, _step_keys(seed, first, len(rows)))
        x, y = jax.device_put((decoded_once(self.x, needed), self.y[rows.reshape(-1)]))
        return ImageSplit(x, y, self.mean, self.std, table)

    def parts(self, rows: NDArray[np.int32]) -> Iterator[tuple[ImageSplit, Array]]:
        """Yield the images of some of the batches `rows` [S, B] at a time, with their rows among these images."""
        step = batches_per_part(self.x, rows.shape[1])
        pieces = [rows[start : start + step] for start in range(0, len(rows), step)]
        for split, part in zip(prefetched(self.part, pieces), pieces, strict=True):
            yield split, jnp.arange(part.size, dtype=jnp.int32).reshape(part.shape)


Split = ImageSplit | StreamedSplit


def step_key(key: Array, step: Array) -> Array:
    """Return the key of a training step, from which its images are augmented or replayed; `key` is of the seed."""
    return jax.random.fold_in(key, step)


@partial(jax.jit, static_argnums=2)
def _step_keys(seed: int, first: int, count: int) -> Array:
    """Return the keys [count] of the steps from step `first` on."""
    found: Array = jax.vmap(partial(step_key, jax.random.key(seed)))(first + jnp.arange(count, dtype=jnp.int32))
    return found


@dataclass(frozen=True)
class StepConfig:
    """The settings that the compiled training step depends on; one compilation serves all seeds."""

    arch: ArchSpec
    optimizer: OptimizerConfig
    steps: int
    warmup_fraction: float
    task: Task  # with its label smoothing and class weights
    ema_decay: float
    augmentation: Augmentation
    teaching: Teaching | TwoTeachings | None = None
    ingredients: Ingredients = NONE
    devices: int = 1  # that each batch is split over

    def transform(self) -> optax.GradientTransformation:
        """Return the optimizer with its schedule, and with the rates of its stages."""
        made = make_optimizer(self.optimizer, self.steps, self.warmup_fraction, self.ingredients.final_rate)
        return self.ingredients.fine_tuning.scaled(made, len(self.arch.stages))


def is_waveform(images: Array) -> bool:
    """Return whether these are samples of waveforms, int16, which half a precision of floats would drown in noise."""
    return images.dtype == jnp.int16


def init_state(step_config: StepConfig, params: Weights) -> TrainState:
    """Return the state before the first step; `params` become part of it, and are donated with it."""
    return TrainState(
        copy_arrays(np.int32(0)), params, copy_arrays(params), jax.jit(step_config.transform().init)(params)
    )


def image_splits(data: Dataset) -> tuple[Split, Split]:
    """Return the training and the test images of `data`, on the device where they are not too many."""
    mean, std = map(jax.device_put, data.channel_stats)

    train = split_of(data.x_train, data.y_train, mean, std, data.replays)
    return train, split_of(data.x_test, data.y_test, mean, std)


def split_of(x: Any, y: NDArray[Any], mean: Array, std: Array, replays: Replays | None = None) -> Split:
    """Return examples with what normalises them, on the device where they are not too many."""
    if is_streamed(x):
        return StreamedSplit(x, y, mean, std, replays)
    table = replays and ReplayTable.of(replays, Size(*x.shape[1:3]))
    return ImageSplit(jax.device_put(np.asarray(x)), jax.device_put(y), mean, std, table)


def loss_and_score(
    step_config: StepConfig, params: Weights, batch: Batch, key: Array, fixed: Weights | None = None
) -> tuple[Array, Array]:
    """Return the loss under batch statistics, and the score: of classification the share that is correct.

    `fixed` are the weights and statistics of frozen stages; `key` is that of what is left out at random.
    """
    c = step_config
    network = merged(c.arch, params if fixed is None else params | fixed)
    if c.ingredients.changes_network:
        rules, frozen = c.ingredients.regularisation, c.ingredients.fine_tuning.frozen_stages
        outputs = regularised(network, batch.x, jax.random.fold_in(key, REGULARISATION), rules, frozen)
    else:
        outputs = network(batch.x, batch_stats=True)
    return loss_and_score_of(c, outputs, batch)


def loss_and_score_of(step_config: StepConfig, outputs: Array, batch: Batch) -> tuple[Array, Array]:
    """Return the loss and the score of outputs [B, K]; see `loss_and_score`."""
    c, task = step_config, step_config.task
    if c.teaching is not None and batch.answers is not None:
        loss = c.teaching.loss(task, outputs, batch.y, batch.answers, batch.soft)
    else:
        loss = loss_of_batch(task, outputs, batch.y, batch.soft)
    return loss, score_of_batch(task, outputs, batch.y)


def train_step(
    step_config: StepConfig,
    state: TrainState,
    rows: Array,
    key: Array,
    split: ImageSplit,
    fixed: Weights | None = None,
) -> tuple[TrainState, Array, Array]:
    """Return the state after one step on the images `rows` [B], its loss, and the score of its outputs."""
    own_key = step_key(key, state.step)
    c = step_config
    batch = sharded(split.batch(own_key, sharded(rows, c.devices), c), c.devices)
    loss_of = partial(loss_and_score, c, batch=batch, key=own_key, fixed=fixed)
    (loss, score), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, optimizer = step_config.transform().update(gradient, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    average = ema_update(state.average, params, ema_decay(state.step, step_config.ema_decay))
    return TrainState(state.step + 1, params, average, optimizer), loss, score


@partial(jax.jit, static_argnames="step_config", donate_argnames="state")
def run_steps(
    step_config: StepConfig,
    state: TrainState,
    rows: Array,
    count: int,
    seed: int,
    split: ImageSplit,
    fixed: Weights | None = None,
) -> tuple[TrainState, tuple[Array, Array]]:
    """Return the state after the first `count` steps on `rows` [S, B], and the sums of their losses and scores.

    The state is donated. `fixed` are the weights of frozen stages.
    """
    # The number of steps is an input of the program, and `rows` always has the same length, so that one compilation
    # serves dispatches of every length. That needs a `fori_loop`; a scan has a fixed number of steps.
    key = jax.random.key(seed)

    def body(i: Array, carry: tuple[TrainState, Array, Array]) -> tuple[TrainState, Array, Array]:
        state, losses, scores = carry
        state, loss, score = train_step(step_config, state, rows[i], key, split, fixed)
        return state, losses + loss, scores + score

    state, loss, score = jax.lax.fori_loop(0, count, body, (state, jnp.float32(0), jnp.float32(0)))
    return state, (loss, score)


def estimate_statistics(
    arch: ArchSpec, weights: Weights, split: Split, batch_size: int, frozen: int = 0, images: int = STATISTICS_IMAGES
) -> Weights:
    """Return `weights` with normalisation statistics estimated on training images, not augmented.

    One pass under batch statistics over up to `images`. The first `frozen` stages keep theirs, and run under them.
    """
    rows = epoch_indices(0, 0, split.images, batch_size)[: max(1, images // batch_size)]
    parts = [_batch_moments(arch, weights, part, shown, frozen) for shown, part in split.parts(rows)]
    # Joined on the host, so that one program pools the batches, however many parts they came in.
    found = _pooled(jax.tree.map(lambda *each: np.concatenate(each), *parts))
    own = FineTuning(frozen).is_frozen
    return weights | {name: value for name, value in statistics_of(arch, found).items() if not own(name)}


@partial(jax.jit, static_argnames=("arch", "frozen"))
def _batch_moments(arch: ArchSpec, weights: Weights, rows: Array, split: ImageSplit, frozen: int) -> Moments:
    """Return the means and variances over each of the batches `rows` [batches, B]."""
    network = merged(arch, weights)
    moments: Moments = jax.lax.map(lambda row: network.moments(split.inputs(split.x[row], arch), frozen), rows)
    return moments


@jax.jit
def _pooled(moments: Moments) -> Moments:
    """Return the means and variances over all images of the batches that `moments` [batches, ...] are of, exactly.

    Batches have equal sizes, so the variance of all is the mean of the variances within batches plus the variance of
    the batches' means.
    """
    return {name: (mean.mean(0), var.mean(0) + mean.var(0)) for name, (mean, var) in moments.items()}


def score_on(
    task: Task, arch: ArchSpec, weights: Weights, split: Split, batch_size: int = 256
) -> tuple[float, float | None]:
    """Return the score, from 0 to 1, of the network with stored statistics on `split`, and its standard error.

    Of classification that is top-1 without an error, which a share of the examples has by itself.
    """
    return score_of_outputs(task, network_outputs(arch, weights, split, batch_size), split)


def score_of_outputs(task: Task, outputs: NDArray[np.float32], split: Split) -> tuple[float, float | None]:
    """Return the score, from 0 to 1, of outputs [N, K] for the images of `split`, and its error as of `score_on`."""
    each = task.score.contributions(outputs, np.asarray(task.scaled(np.asarray(split.y))))
    score = float(each.mean())
    return clipped(score), score_error(each) if np.isfinite(score) else 1.0


def predictions(arch: ArchSpec, weights: Weights, split: Split, batch_size: int = 256) -> NDArray[np.int32]:
    """Return the class [N] that the network with stored statistics gives each image of `split`."""
    return network_outputs(arch, weights, split, batch_size).argmax(1).astype(np.int32)


def network_outputs(arch: ArchSpec, weights: Weights, split: Split, batch_size: int = 256) -> NDArray[np.float32]:
    """Return the outputs [N, K] of the network with stored statistics for each image of `split`."""
    count = split.images
    padded = np.arange(-(-count // batch_size) * batch_size, dtype=np.int32)
    rows = np.minimum(padded, count - 1).reshape(-1, batch_size)  # the last batch is padded with the last image
    found = [np.asarray(_outputs(arch, weights, part, images)) for images, part in split.parts(rows)]
    return np.concatenate([each.reshape(-1, each.shape[-1]) for each in found])[:count]


def in_target_units(task: Task, weights: Weights) -> Weights:
    """Return `weights` with outputs in the units of the targets: the classifier takes their deviations and means up.

    So every format of an export gives them without a layer more. Of classification the weights as they are.
    """
    scale = task.rescaling()
    if scale is None:
        return weights
    mean, std = (np.array(values, np.float64) for values in scale)
    weight, bias = (np.asarray(weights[name], np.float64) for name in CLASSIFIER)
    folded = weight * std, bias * std + mean
    return weights | {name: jnp.asarray(value, jnp.float32) for name, value in zip(CLASSIFIER, folded, strict=True)}


@partial(jax.jit, static_argnames="arch")
def _outputs(arch: ArchSpec, weights: Weights, rows: Array, split: ImageSplit) -> Array:
    """Return the outputs for each of the images `rows` [batches, B]."""
    network = merged(arch, weights)
    return jax.lax.map(lambda row: network(split.inputs(split.x[row], arch)), rows)
