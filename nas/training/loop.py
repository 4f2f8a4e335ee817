"""Training of one architecture alone: settings, loop, checkpoints, result files, resume.

The loop, the files and the clock are here; the compiled programs are in nas.training.step. Since a step is fixed by
(seed, step), a training that was interrupted ends with the same bytes as one that was not.
"""

import hashlib
import math
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec, save_arch
from nas.data import Dataset, at_resolution, epoch_indices, signature, split_for_search, validation_view
from nas.data.input_spec import Signature
from nas.errors import InvalidInput
from nas.files import CannotWrite, dump_json, new_folder, write_whole
from nas.nn.network import (
    Weights,
    check_weights,
    get_weights,
    random_network,
    save_weights,
    split_statistics,
    weight_shapes,
    zero_init_residuals,
)
from nas.ops import LogMel
from nas.progress.stop import raise_if_stopped
from nas.progress.time_left import Begun, Compiled, Phase, Schedule, TimingEvent
from nas.quantisation.grid import Range
from nas.records.class_accuracy import ClassAccuracy
from nas.records.confusion import Confusion, save_confusion
from nas.records.history import EpochRow
from nas.records.locks import locked
from nas.records.ranges import save_ranges
from nas.records.results import TRAINED_ALONE, AccuracyKind, Score
from nas.records.target_scores import TargetScores
from nas.records.trainings import read_settings
from nas.tasks import clipped, measured
from nas.training.checkpoints import Checkpoints
from nas.training.config import TrainingConfig as TrainingConfig
from nas.training.devices import batch_devices, copy_arrays, device_sharding, replicated
from nas.training.qat import (
    QATState,
    QATStepConfig,
    check_int8,
    first_ranges,
    init_qat,
    int8_outputs,
    ranges_of,
    run_qat_steps,
)
from nas.training.qat_config import QATConfig
from nas.training.recipe import recipe_toml
from nas.training.step import (
    STATISTICS_IMAGES,
    ImageSplit,
    Split,
    StepConfig,
    StreamedSplit,
    TrainState,
    estimate_statistics,
    image_splits,
    in_target_units,
    init_state,
    network_outputs,
    run_steps,
    split_of,
)
from nas.training.streaming import batches_per_part, prefetched
from nas.training.teaching import Teacher, Teaching
from nas.training.two_teachers import TwoTeachers, TwoTeachings
from nas.training.validation import EpochWatch

SCHEMA, VERSION = "nas.training", 1
PLACES = ("data_dir",)  # keys of settings.json that say where something lies: a training goes on with others too
LATER_KEYS = ("fit", "background", "augment_shift", "flip", "class_weights")  # of settings.json, since release 0.2
DISPATCH_S = 5.0  # seconds of work that a dispatch should take
CHECKPOINT_S = 45.0  # seconds between checkpoints; with the longest dispatch after it, a kill loses less than a minute
MAX_DISPATCH_STEPS = 512  # the most steps per dispatch
RECIPE = "recipe.toml"  # in the folder of a training by a named recipe
TRAIN, INT8, TEST = "train", "int8", "test"  # stages of a training
INT8_CHECKPOINTS = "checkpoints-int8"
MACS_PER_S = 16e9  # that 2 CPU cores are expected to do
PASSES = 3  # in MACs of an image, what a training step takes: forward, and twice as much backward
INT8_FACTOR = 2.0  # of the time of a step, in int8
STEP_S = 0.003  # of a step of the smallest networks
COMPILE_S, TEST_COMPILE_S = 15.0, 8.0  # expected of the training step, and of the programs of the test
OnTiming = Callable[[TimingEvent], object]


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a training after a dispatch: loss and top-1 are means over its (augmented) training images."""

    step: int
    steps: int
    loss: float  # nats, with label smoothing
    top1: float  # fraction; the score of another task
    step_s: float  # seconds per step
    metric: str = "top-1"  # what `top1` is, as tables name it
    stage: str = "train"  # or "int8", whose steps are counted from 0
    validated: EpochRow | None = None  # of a step that ends an epoch, where images are set aside for validation

    @property
    def text(self) -> str:
        """Loss and score as text, a share in percent."""
        validated = "" if self.validated is None else f", validation {self._shown(self.validated.validation_score)}"
        return f"loss {self.loss:.3f}, training {self.metric} {self._shown(self.top1)}{validated}"

    def _shown(self, score: float) -> str:
        return f"{score:.1%}" if self.metric == "top-1" else f"{score:.3f}"


@dataclass(frozen=True)
class TrainResult:
    """A trained network with its test accuracy."""

    arch: ArchSpec
    weights: Weights  # running average, with normalisation statistics; outputs in the units of the targets
    accuracy: Score  # top-1, or the score of another task
    steps: int
    by_class: ClassAccuracy | TargetScores  # on the same images, class by class or target by target
    int8_accuracy: Score | None = None  # of a training for int8: that of its int8 form
    ranges: Mapping[str, Range] | None = None  # of its activations in int8


class Diverged(InvalidInput):
    """Raised where the loss of a training is no longer finite, which the same training would only repeat."""


def train(
    arch: ArchSpec,
    dataset: Dataset,
    config: TrainingConfig,
    out: Path,
    progress: Callable[[TrainingProgress], None] = lambda _: None,
    *,
    initial_weights: Mapping[str, Any] | None = None,
    proxy_width: float = 1.0,
    teacher: Teacher | TwoTeachers | None = None,
    recipe: str | None = None,
    timing: OnTiming = lambda _: None,
) -> TrainResult:
    """Train the network of `arch` on `dataset` (resized to its input) and write the result into the folder `out`.

    `out` is new, or holds the same training, which then goes on. It gets arch.json, weights.safetensors, train.json, of
    classes confusion.csv, and history.json where the config sets images aside for validation.
    A KeyboardInterrupt is raised again after a checkpoint. `initial_weights` (inherited from a supernet, say) replace
    the random initialisation; `proxy_width` goes into the kind of accuracy; a `teacher` answers for the images of
    every step; the name of a `recipe` is kept with what it was resolved to, in recipe.toml; `timing` learns of phases
    and compilations. Raises `InvalidInput` where data, folder or weights do not fit, or where the loss is no longer
    finite.
    """
    data = dataset_for(arch, dataset)
    _check_start(arch, data, config, initial_weights)
    with _opened(out, _identity(arch, data, config, initial_weights, proxy_width, teacher)):
        if recipe is not None:
            write_whole(out / RECIPE, recipe_toml(config, recipe))
        # Without validation images the second split is the test set itself, which is looked at once, at the end.
        seen = validation_view(data, config.validation, config.seed) if config.validation else data
        splits = image_splits(seen)
        train_split = splits[0] if teacher is None else _taught(splits[0], seen, arch, teacher)
        mean, std = splits[0].mean, splits[0].std  # of the training images alone
        test_split = split_of(data.x_test, data.y_test, mean, std) if config.validation else splits[1]
        tuning = config.ingredients.fine_tuning
        weights = initial_params(arch, config.seed, initial_weights)
        params, fixed = tuning.split(weights)
        rest = {name: value for name, value in weights.items() if name not in params}
        plan = TrainingPlan(arch, config, seen, train_split, None if teacher is None else teacher.teaching)
        if config.qat is not None:
            check_int8(arch, plan.all_steps)
        timing(Schedule(training_phases(plan)))
        batch = min(config.batch_size, len(seen.x_train))
        watch = None
        if config.validation:
            watch = EpochWatch(plan.step_config, seen, (train_split, splits[1]), batch, config.patience, rest, out)
        state = fit(plan, params, out / "checkpoints", progress, timing, fixed=fixed or None, watch=watch)
        average, steps = state.average if watch is None else watch.best_average(state), int(state.step)
        ranges, int8_score = None, None
        if config.qat is None:
            timing(Begun(TEST))
        weights = estimate_statistics(arch, average | rest, train_split, batch, tuning.frozen_stages)
        if config.qat is not None:
            weights, ranges = fit_int8(plan, config.qat, weights, out / INT8_CHECKPOINTS, progress, timing)
            timing(Begun(TEST))
            int8_score = _score(int8_outputs(arch, weights, ranges, test_split), arch, data, proxy_width)
            steps += plan.all_steps - plan.steps
        outputs = network_outputs(arch, weights, test_split)
        score = _score(outputs, arch, data, proxy_width)
        by_class = _by_class(outputs, data)
        weights = in_target_units(data.task, weights)
        result = TrainResult(arch, weights, score, steps, by_class, int8_score, ranges)
        if data.has_classes:
            save_confusion(out, Confusion.of(data.class_names, data.y_test, outputs.argmax(1)))
        _write(result, config, signature(seen, arch.input_shape), initial_weights is not None, out)
    return result


def _check_start(
    arch: ArchSpec, data: Dataset, config: TrainingConfig, initial_weights: Mapping[str, Any] | None
) -> None:
    """Raise `InvalidInput` where ingredients do not fit the examples, or stages would be frozen at random weights."""
    tuning = config.ingredients.fine_tuning
    config.ingredients.check(data)
    tuning.check(arch)
    if not tuning.frozen_stages:
        return
    known = initial_weights or {}
    if missing := [name for name in weight_shapes(arch) if tuning.is_frozen(name) and name not in known]:
        raise InvalidInput(
            f"stages are frozen at weights that were trained, with their statistics: {missing[0]} is not; start from "
            "a training or from a file of weights"
        )


def _taught(split: Split, data: Dataset, arch: ArchSpec, teacher: Teacher | TwoTeachers) -> ImageSplit:
    """Return the training images with the teacher beside them; `InvalidInput` where it cannot teach on them."""
    if isinstance(teacher, TwoTeachers):
        teacher.check(data.task)
    if not (data.is_images and isinstance(split, ImageSplit)):
        raise InvalidInput(f"{data.name} is not taught by a teacher in training: that takes images in memory")
    if data.replays is not None:
        raise InvalidInput(f"{data.name} is reinforced: what its teacher says is stored; leave --teacher out")
    for known in teacher.archs:
        if known.num_classes != arch.num_classes:
            raise InvalidInput(f"the teacher knows {known.num_classes} classes, the network {arch.num_classes}")
    return split._replace(teacher=teacher.arrays())


def is_finished(
    arch: ArchSpec,
    dataset: Dataset,
    config: TrainingConfig,
    out: Path,
    *,
    initial_weights: Mapping[str, Any] | None = None,
    proxy_width: float = 1.0,
    teacher: Teacher | TwoTeachers | None = None,
) -> bool:
    """Return whether the folder `out` holds this very training, finished; arguments as in `train`."""
    path = out / "settings.json"
    if not (path.is_file() and (out / "train.json").is_file()):
        return False
    stored = read_settings(out)
    identity = _identity(arch, dataset_for(arch, dataset), config, initial_weights, proxy_width, teacher)
    return all(stored.get(name) == value for name, value in identity.items() if name not in PLACES)


def dataset_for(arch: ArchSpec, dataset: Dataset) -> Dataset:
    """Return `dataset` at the resolution of `arch`; `InvalidInput` where outputs, channels or kind do not fit."""
    size, channels = arch.input_shape.size, arch.input_shape.channels
    if arch.num_classes != dataset.num_classes:
        what = "classes" if dataset.has_classes else "outputs"
        raise InvalidInput(f"the spec has {arch.num_classes} {what}, but {dataset.name} has {dataset.num_classes}")
    if dataset.channels not in ((1, channels) if dataset.is_images else (channels,)):
        raise InvalidInput(f"the spec takes {channels} channels, but {dataset.name} has {dataset.channels}")
    for position, op, _ in arch.iter_ops():
        if isinstance(op, LogMel) and op.sample_rate != dataset.sample_rate:
            has = f"{dataset.kind}" if dataset.sample_rate is None else f"{dataset.sample_rate} Hz"
            raise InvalidInput(
                f"op {position} of the spec takes waveforms at {op.sample_rate} Hz, but {dataset.name} has {has}"
            )
    return at_resolution(dataset, size)


def initial_params(arch: ArchSpec, seed: int, initial_weights: Mapping[str, Any] | None) -> Weights:
    """Return the weights that a training starts from: `initial_weights`, which may lack statistics, or random ones.

    In a random initialisation every residual block begins as the identity.
    """
    weights = get_weights(random_network(arch, seed))
    if initial_weights is None:
        return zero_init_residuals(arch, weights)
    whole = split_statistics(weights)[1] | dict(initial_weights)
    check_weights(arch, whole)
    # A training donates its weights: copy them, so that those of the caller stay.
    return dict(copy_arrays({name: np.asarray(whole[name], np.float32) for name in weights}))


@dataclass(frozen=True)
class TrainingPlan:
    """The steps of one training: how many, and which images each of them sees."""

    arch: ArchSpec
    config: TrainingConfig
    data: Dataset
    split: Split
    teaching: Teaching | TwoTeachings | None = None

    def __post_init__(self) -> None:
        check_batch(len(self.data.x_train), self.config.batch_size)

    @property
    def per_epoch(self) -> int:
        """Steps per epoch; images that do not fill a batch sit an epoch out."""
        return len(self.data.x_train) // self.config.batch_size

    @property
    def all_steps(self) -> int:
        """Steps of the whole training, those in int8 among them."""
        return self.config.epochs * self.per_epoch

    @property
    def steps(self) -> int:
        """Steps in floats: all but the last ones of a training for int8."""
        qat = self.config.qat
        return self.all_steps - (0 if qat is None else qat.steps_of(self.all_steps))

    @property
    def step_config(self) -> StepConfig:
        """The settings that the compiled step depends on."""
        c = self.config
        return StepConfig(
            self.arch, c.optimizer, self.steps, c.warmup_fraction,
            self.data.task.configured(c.label_smoothing, self.data.class_weights), c.ema_decay, self.data.augmentation,
            self.teaching, c.ingredients,
        )  # fmt: skip

    def rows(self, done: int, count: int) -> np.ndarray[Any, Any]:
        """Return the image indices of `count` steps from step `done` on, then zeros: [MAX_DISPATCH_STEPS, batch]."""
        batch, per_epoch = self.config.batch_size, self.per_epoch
        rows = np.zeros((MAX_DISPATCH_STEPS, batch), np.int32)  # always of one shape: see `run_steps`
        for epoch in range(done // per_epoch, (done + count - 1) // per_epoch + 1):
            indices = epoch_indices(self.config.seed, epoch, len(self.data.x_train), batch)
            first = epoch * per_epoch
            start, stop = max(done, first), min(done + count, first + per_epoch)
            rows[start - done : stop - done] = indices[start - first : stop - first]
        return rows


class BatchLoader:
    """The images of the steps of a training, one dispatch after the other."""

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan = plan
        self.most = MAX_DISPATCH_STEPS  # steps whose images are on the device at once, from a multiple of it on
        if isinstance(plan.split, StreamedSplit):
            examples = plan.config.batch_size * plan.split.images_each
            self.most = min(MAX_DISPATCH_STEPS, batches_per_part(plan.split.x, examples))
        self._parts: Iterator[tuple[int, ImageSplit]] = iter(())
        self._part: tuple[int, ImageSplit] | None = None  # the first step of the current part, and its images

    def dispatch(self, done: int, count: int) -> tuple[ImageSplit, jax.Array, int]:
        """Return the images, their rows [MAX_DISPATCH_STEPS, batch] and the number of steps, at most `count`.

        Steps are counted from step `done` on. Streamed images come in parts of `most` steps.
        """
        split = self.plan.split
        if isinstance(split, ImageSplit):
            return split, jax.device_put(self.plan.rows(done, count)), count
        first = done // self.most * self.most
        if self._part is None or self._part[0] != first:
            self._part = self._next_part(split, first)
        count, batch = min(count, first + self.most - done), self.plan.config.batch_size
        rows = np.zeros((MAX_DISPATCH_STEPS, batch), np.int32)
        rows[:count] = np.arange((done - first) * batch, (done - first + count) * batch).reshape(count, batch)
        return self._part[1], jax.device_put(rows), count

    def _next_part(self, split: StreamedSplit, first: int) -> tuple[int, ImageSplit]:
        """Return the part that begins at step `first`; the next one is decoded meanwhile."""
        part = next(self._parts, None)
        if part is None or part[0] != first:
            self.close()
            starts = range(first, self.plan.all_steps, self.most)
            seed = self.plan.config.seed
            self._parts = prefetched(lambda start: (start, split.training_part(self._rows(start), seed, start)), starts)
            part = next(self._parts)
        return part

    def _rows(self, start: int) -> np.ndarray[Any, Any]:
        """Return the image indices of the part that begins at step `start`, always of one shape [most, batch]."""
        count = min(self.most, self.plan.all_steps - start)
        return self.plan.rows(start, count)[: self.most]

    def close(self) -> None:
        """Stop decoding ahead."""
        if isinstance(self._parts, Generator):
            self._parts.close()


def check_batch(images: int, batch_size: int) -> None:
    """Raise `InvalidInput` where a batch is larger than the training set."""
    if batch_size > images:
        raise InvalidInput(
            f"batch_size must be at most the {images} training images, got {batch_size}; choose a smaller one"
        )


def validation_images(data: Dataset, config: TrainingConfig) -> int:
    """Return how many of the training images are set aside for the validation after each epoch."""
    return len(split_for_search(data, config.validation, config.seed)[1]) if config.validation else 0


def expected_s(arch: ArchSpec, dataset: Dataset, config: TrainingConfig) -> float:
    """Return how long a training is expected to take on 2 CPU cores, in seconds."""
    steps = config.epochs * (len(dataset.y_train) // config.batch_size)
    int8 = 0 if config.qat is None else config.qat.steps_of(steps)
    phases = _phases(arch, steps - int8, config.batch_size, (len(dataset.y_train), len(dataset.y_test)), int8)
    return sum(phase.compile_s + phase.steps * phase.step_s for phase in phases)


def training_phases(plan: TrainingPlan) -> tuple[Phase, ...]:
    """Return the phases of a training: its steps, and the statistics and the test at its end."""
    images = len(plan.data.y_train), len(plan.data.y_test)
    return _phases(plan.arch, plan.steps, plan.config.batch_size, images, plan.all_steps - plan.steps)


def _phases(
    arch: ArchSpec, steps: int, batch_size: int, images: tuple[int, int], int8_steps: int = 0
) -> tuple[Phase, ...]:
    """Return the phases of `steps` steps on `images`, (training, test), as expected of 2 CPU cores.

    The time of a step is proportional to the network's MACs.
    """
    image_s, train, test = arch.macs / MACS_PER_S, *images
    at_end = min(STATISTICS_IMAGES, train) + test
    step_s = STEP_S + PASSES * image_s * batch_size
    int8 = (Phase(INT8, int8_steps, INT8_FACTOR * step_s, COMPILE_S),) if int8_steps else ()
    return (
        Phase(TRAIN, steps, step_s, COMPILE_S),
        *int8,
        Phase(TEST, 1, TEST_COMPILE_S + at_end * image_s, serial=True),
    )


@dataclass(frozen=True)
class Stage:
    """Some of the steps of a training: its name, and the numbers of its first step and of the one behind its last."""

    name: str
    first: int
    end: int


def fit(
    plan: TrainingPlan,
    params: Weights,
    folder: Path,
    progress: Callable[[TrainingProgress], None],
    timing: OnTiming = lambda _: None,
    *,
    fixed: Weights | None = None,
    watch: EpochWatch | None = None,
) -> TrainState:
    """Return the state after all steps from `params` on, or from the newest checkpoint in `folder` if there is one.

    `params` are donated. A dispatch of steps takes about `DISPATCH_S`; progress and checkpoints come between two.
    `fixed` are the weights of frozen stages. A `watch` is shown the end of each epoch, and may end the training.
    """
    count_devices, seed = batch_devices(plan.config.batch_size), plan.config.seed
    step_config = replace(plan.step_config, devices=count_devices)
    devices = device_sharding() if count_devices > 1 else None
    state, fixed = init_state(step_config, params), replicated(fixed, devices)

    def run(state: TrainState, rows: jax.Array, count: int, split: ImageSplit) -> Any:
        return run_steps(step_config, state, rows, count, seed, split, fixed)

    found: TrainState = _run(plan, Stage(TRAIN, 0, plan.steps), state, run, folder, progress, timing, devices, watch)
    return found


def fit_int8(
    plan: TrainingPlan,
    qat: QATConfig,
    weights: Weights,
    folder: Path,
    progress: Callable[[TrainingProgress], None],
    timing: OnTiming = lambda _: None,
) -> tuple[Weights, dict[str, Range]]:
    """Return the weights after the last steps, in int8, and the ranges of the activations; as `fit`, on one device.

    `weights` are those of the network trained in floats, with its statistics.
    """
    params, _ = plan.config.ingredients.fine_tuning.split(weights)
    rest = {name: value for name, value in weights.items() if name not in params}
    config = QATStepConfig(plan.step_config, qat, plan.steps, plan.all_steps - plan.steps)
    state, seed = init_qat(config, copy_arrays(params), first_ranges(plan.arch, weights, plan.split)), plan.config.seed

    def run(state: QATState, rows: jax.Array, count: int, split: ImageSplit) -> Any:
        return run_qat_steps(config, state, rest, rows, count, seed, split)

    state = _run(plan, Stage(INT8, plan.steps, plan.all_steps), state, run, folder, progress, timing)
    return {name: state.params.get(name, value) for name, value in weights.items()}, ranges_of(plan.arch, state)


def _run(
    plan: TrainingPlan, stage: Stage, state: Any, run: Callable[[Any, jax.Array, int, ImageSplit], Any], folder: Path,
    progress: Callable[[TrainingProgress], None], timing: OnTiming, devices: Any = None,
    watch: EpochWatch | None = None,
) -> Any:  # fmt: skip
    """Return the state after the steps of a stage, from the newest checkpoint in `folder` where there is one."""
    first, steps = stage.first, stage.end
    with closing(Checkpoints(folder)) as checkpoints, closing(BatchLoader(plan)) as loader:
        done, state = checkpoints.latest(state) or (first, state)
        state = replicated(state, devices)
        if watch is not None:
            watch.rewind(done)
        saved, saved_at = done, time.monotonic()
        # The first dispatch, of one step, also compiles, so its time says nothing about the speed; the second has two
        # steps. From then on the number grows towards `DISPATCH_S` of work, at most fourfold each time.
        count, compiled = 1, False
        timing(Begun(stage.name, done - first, compiling=True))
        try:
            while done < steps and not (watch is not None and watch.history.stopped):
                raise_if_stopped()
                started, count = time.monotonic(), min(count, steps - done)
                if watch is not None:
                    count = min(count, watch.steps_left(done))
                images, rows, count = loader.dispatch(done, count)
                images, rows = replicated((images, rows), devices)
                state, totals = run(state, rows, count, images)
                loss, score = (float(total) / count for total in totals)
                step_s, done = (time.monotonic() - started) / count, done + count
                if not math.isfinite(loss):
                    raise Diverged(f"the loss is no longer finite at step {done}; lower the learning rate")
                if time.monotonic() - saved_at > CHECKPOINT_S:
                    checkpoints.save(done, state)
                    saved, saved_at = done, time.monotonic()
                if not compiled:
                    timing(Compiled(stage.name, done - first))
                row, title = None if watch is None else watch.after(state, done), plan.data.task.score.title
                progress(TrainingProgress(done - first, steps - first, loss, score, step_s, title, stage.name, row))
                count = min(MAX_DISPATCH_STEPS, 4 * count, max(1, round(DISPATCH_S / step_s))) if compiled else 2
                compiled = True
        except KeyboardInterrupt:
            # Ctrl-C between the donation of the state and the assignment of the new one leaves no state to save.
            if not state.step.is_deleted() and int(state.step) > saved:
                checkpoints.save(int(state.step), state)
            raise
        if done > saved:
            checkpoints.save(done, state)
    return state if devices is None else copy_arrays(state)


def _score(outputs: NDArray[np.float32], arch: ArchSpec, data: Dataset, proxy_width: float) -> Score:
    """Return the score of outputs [N, K] on the test images, with its kind."""
    size, task = arch.input_shape.size.json, data.task
    kind = AccuracyKind(data.name, data.digest, size, proxy_width, TRAINED_ALONE, task.score.name)
    found = measured(task.score, outputs, task.scaled(data.y_test))
    return Score.of(clipped(found.value), len(data.x_test), kind, found.standard_error)


def _by_class(outputs: NDArray[np.float32], data: Dataset) -> ClassAccuracy | TargetScores:
    """Return what outputs [N, K] on the test images are worth, class by class or target by target."""
    if data.has_classes:
        return ClassAccuracy.of(data.class_names, data.y_test, outputs.argmax(1))
    return TargetScores.of(data.task, data.class_names, outputs, data.y_test, data.y_train)


def _identity(
    arch: ArchSpec,
    data: Dataset,
    config: TrainingConfig,
    initial_weights: Mapping[str, Any] | None,
    proxy_width: float,
    teacher: Teacher | TwoTeachers | None = None,
) -> dict[str, Any]:
    """Return everything that a training depends on, the content of settings.json: it goes on where all is equal."""
    start = hashlib.sha256()
    for name, value in sorted((initial_weights or {}).items()):
        start.update(name.encode() + np.ascontiguousarray(value, np.float32).tobytes())
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "arch": arch.digest,
        "data": data.name,
        "data_digest": data.digest,
        "initial_weights": None if initial_weights is None else start.hexdigest(),
        "proxy_width": proxy_width,
        **config.to_dict(),
        **_preparation(data),
        **({} if data.data_dir is None else {"data_dir": data.data_dir}),
        **({} if teacher is None else teacher.identity),
    }


def _preparation(data: Dataset) -> dict[str, Any]:
    """Return how the images are prepared, the content of `LATER_KEYS`."""
    framing, augmentation = data.framing, data.augmentation
    of_sounds = {name: getattr(augmentation, name) for name in ("gain_db", "noise", "time_mask", "band_mask")}
    return {
        "fit": framing and framing.fit,
        "background": framing and framing.background,
        "augment_shift": data.augmentation.shift_px_fraction,
        "flip": data.augmentation.flip,
        "class_weights": list(data.class_weights),
        **{f"augment_{name}": value for name, value in of_sounds.items() if value},  # since release 0.4
        **({} if data.task.kind == "classification" else {"task": data.task.kind}),
    }


def is_of_release_0_1(out: Path) -> bool:
    """Return whether `out` holds a training of release 0.1, which read folders of images in its own way."""
    path = out / "settings.json"
    return path.exists() and "fit" not in read_settings(out)


@contextmanager
def _opened(out: Path, identity: dict[str, Any]) -> Iterator[None]:
    """Hold the lock of `out`, made the folder of this training, or checked to be it."""
    if not (out / "settings.json").exists():
        new_folder(out)
    with locked(out):
        _check_folder(out, identity)
        try:
            yield
        except CannotWrite:
            raise  # it goes on where there is space
        except InvalidInput as error:
            _make_way(out, worthless=isinstance(error, Diverged))
            raise


def _make_way(out: Path, *, worthless: bool) -> None:
    """Leave nothing of a refused training in the way of a corrected one: its settings, where nothing was saved.

    Checkpoints that are `worthless` go too: the same training would end as it did.
    """
    checkpoints = out / "checkpoints"
    if (out / "train.json").exists() or (not worthless and any(checkpoints.glob("*"))):
        return
    for folder in (checkpoints, out / INT8_CHECKPOINTS):
        shutil.rmtree(folder, ignore_errors=True)
    (out / "settings.json").unlink(missing_ok=True)


def _check_folder(out: Path, identity: dict[str, Any]) -> None:
    """Write `identity` into a new folder, or compare it with its file; `InvalidInput` names the first difference."""
    path = out / "settings.json"
    if not path.exists():
        new_folder(out)
        write_whole(path, dump_json(identity))
        return
    stored = read_settings(out)
    if stored.get("schema") != SCHEMA:
        raise InvalidInput(f"{path} is not of a training; name another folder with --out")
    later = () if "fit" in stored else LATER_KEYS  # a training of release 0.1 has none of them
    for name in (key for key in {**identity, **stored} if key not in (*later, *PLACES)):
        if stored.get(name) != identity.get(name):
            raise InvalidInput(
                f"{out} holds a training with {name} {stored.get(name)!r}, not {identity.get(name)!r}; "
                "go on with the same or name another folder with --out"
            )


def _write(result: TrainResult, config: TrainingConfig, takes: Signature, inherited: bool, out: Path) -> None:
    """Write arch.json, weights.safetensors and train.json."""
    save_arch(result.arch, out / "arch.json")
    save_weights(out / "weights.safetensors", result.weights, result.arch, "trained")
    about = {
        "schema": SCHEMA,
        "version": VERSION,
        "digest": result.arch.digest,
        "arch": result.arch.to_dict(),
        "settings": config.to_dict(),
        "steps": result.steps,
        "started_from": "inherited weights" if inherited else "random initialisation",
        "accuracy": result.accuracy.to_dict(),
        **result.by_class.to_dict(),
        **takes.to_dict(),
    }
    if result.ranges is not None and result.int8_accuracy is not None:
        about["int8_accuracy"] = result.int8_accuracy.to_dict()
        save_ranges(out, result.arch.digest, result.ranges)
    write_whole(out / "train.json", dump_json(about))
