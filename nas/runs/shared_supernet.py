"""The supernet that a run for many targets trains once: its training, its file of weights, its evaluator."""

import hashlib
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from nas.data import split_for_search
from nas.errors import InvalidInput
from nas.files import read_bytes
from nas.nn.weight_file import read_tensors, write_tensors
from nas.progress import Progress, ProgressReporter, report_timing
from nas.progress.stop import raise_if_stopped
from nas.progress.time_left import Begun, Compiled
from nas.records.journal import Journal
from nas.registry import SPACES, load
from nas.runs.batches import BatchSampler, Rows
from nas.runs.front_end import with_front_end
from nas.runs.outside_start import start_params
from nas.runs.plan import SearchPlan
from nas.runs.sources import without
from nas.space.staged import StagedSpace
from nas.supernet.evaluator import SearchImages, SupernetEvaluator
from nas.supernet.sandwich import SandwichMetrics, SandwichState, SandwichTraining, augmentation_keys, compile_steps
from nas.supernet.supernet import Params, Supernet, parameter_name
from nas.tasks import CLASSIFICATION, clipped
from nas.training.checkpoints import Checkpoints
from nas.training.devices import device_sharding, replicated

FILE = "supernet.safetensors"
STAGE = "supernet"  # of its records in the journal
CHECKPOINT_SECONDS = 20.0
Weights = dict[str, np.ndarray[Any, Any]]
STREAM_STRIDE = 4  # streams of batches per seed, as in the joint search; the training takes the first of them


def sandwich_training(plan: SearchPlan) -> SandwichTraining:
    """Return the sandwich training of a plan; it does not depend on the target.

    For a whole front it is that for architectures of all sizes.
    """
    data, seed = plan.dataset, plan.settings.seed
    return SandwichTraining(
        plan.proxy(plan.space), plan.preset, data.augmentation, seed, data.class_weights,
        all_sizes=bool(plan.front), task=data.task,
    )  # fmt: skip


def train(plan: SearchPlan, run: Path, journal: Journal, reporter: ProgressReporter) -> None:
    """Train the supernet to its end, from its last checkpoint if it has one, and write its weights into `run`."""
    training, sampler = sandwich_training(plan), BatchSampler(plan)
    checkpoints = Checkpoints(run / "checkpoints" / STAGE)
    try:
        outside = partial(start_params, plan.settings.weights, training.space)
        state = training.init_state(outside)
        step, state = checkpoints.latest(state) or (0, state)
        journal.keep(lambda record: record["stage"] != STAGE or record["step"] <= step)
        if step < training.steps:
            state = _train_steps(training, sampler, (step, state), checkpoints, journal, reporter)
    finally:
        checkpoints.close()
    save(state.params, run / FILE)
    jax.clear_caches()  # the program of the training is not needed again, and its code is hundreds of megabytes


def _train_steps(
    training: SandwichTraining,
    sampler: BatchSampler,
    start: tuple[int, SandwichState],
    checkpoints: Checkpoints,
    journal: Journal,
    reporter: ProgressReporter,
) -> SandwichState:
    """Return the state after all steps from `start`, (step, state), on; each dispatch gives a record and progress."""
    first, state = start
    report_timing(reporter, Begun(STAGE, first, compiling=True))  # the first dispatch compiles, and runs some steps
    devices = device_sharding()
    run_steps = compile_steps(training, devices)
    state = replicated(state, devices)
    saved = began = time.monotonic()
    steps = range(first, training.steps, training.steps_per_dispatch)

    def rows(step: int) -> tuple[Rows, Rows]:
        count = min(training.steps_per_dispatch, training.steps - step)
        return sampler.train_batches(training.seed * STREAM_STRIDE, step, count), sampler.val_rows[:0]

    dispatches = sampler.dispatches(rows, steps, devices, partial(augmentation_keys, training))
    for step, (images, train, _) in zip(steps, dispatches, strict=True):
        raise_if_stopped()
        state, report = run_steps(state, images, train)
        done = min(step + training.steps_per_dispatch, training.steps)
        _record(report, training, done, journal)
        now = time.monotonic()
        if now - saved > CHECKPOINT_SECONDS or done == training.steps:
            checkpoints.save(done, state)
            saved = time.monotonic()
        left = (now - began) / (done - first) * (training.steps - done)
        if step == first:
            report_timing(reporter, Compiled(STAGE, done))
        reporter.progress(Progress(STAGE, done, training.steps, float(report.loss[:, 0].mean()), seconds_left=left))
    return state


def _record(report: SandwichMetrics, training: SandwichTraining, done: int, journal: Journal) -> None:
    """Write the journal record after step `done`; `InvalidInput` where the loss is no longer finite."""
    losses = np.asarray(report.loss, np.float64).mean(0).tolist()
    if not np.isfinite(losses).all():
        raise InvalidInput(f"the supernet's loss is no number at step {done}; start with another --seed and --out")
    top1 = [clipped(share) for share in np.asarray(report.top1, np.float64).mean(0).tolist()]
    fixed = 1 if training.all_sizes else 2  # architectures that run in every step
    names = ("largest", "smallest")[:fixed]
    journal.append(
        {
            "stage": STAGE, "step": done, "steps": training.steps,
            **{f"loss_{name}": loss for name, loss in zip(names, losses, strict=False)},
            "loss_random": float(np.mean(losses[fixed:])),
            **{f"train_top1_{name}": share for name, share in zip(names, top1, strict=False)},
        }
    )  # fmt: skip


def save(params: Params, path: Path) -> None:
    """Write the weights of a supernet as safetensors; the same weights give the same bytes."""
    write_tensors(path, {name: np.asarray(value) for name, value in params.items()}, {})


def read(path: Path, plan: SearchPlan) -> Weights:
    """Return the weights in `path`; `InvalidInput` where they are not those of the plan's space."""
    weights: Weights = read_tensors(path)[0]
    if shapes_of(plan.proxy(plan.space)) != {name: value.shape for name, value in weights.items()}:
        raise InvalidInput(f"{path} holds the weights of another space; search with the settings of its run")
    return weights


def digest(path: Path) -> str:
    """Return the SHA-256 of a file of weights."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def shapes_of(space: StagedSpace) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of the supernet over `space`, without making any of them."""
    flat = nnx.to_flat_state(nnx.state(_abstract(space), nnx.Param))
    return {parameter_name(path): tuple(variable.get_value().shape) for path, variable in flat}


def _abstract(space: StagedSpace, buckets: int = 1) -> Supernet:
    """Return the supernet over `space` with shapes in place of arrays."""
    model: Supernet = nnx.eval_shape(lambda: Supernet(space, np.random.default_rng(0), buckets))
    return model


# ------------------------------------------------------------------------------------------------------- the evaluator


def evaluator_payload(plan: SearchPlan, weights: Weights) -> dict[str, Any]:
    """Return everything that `build_evaluator` needs, as numpy arrays and plain data that can be sent to workers."""
    val = BatchSampler(plan).evaluation_images
    s, shape = plan.settings, plan.input_shape
    return {
        "space": s.space,
        "left_out": s.left_out,
        "front_end": plan.front_end,
        "target_input": (tuple(shape.size), shape.channels, plan.dataset.num_classes, s.drop_strides),
        "proxy": (tuple(plan.proxy_resolution), plan.proxy_width),
        "batch": plan.preset.eval_batch,
        "task": plan.dataset.task,
        "int8": s.is_int8,
        "buckets": sandwich_training(plan).buckets,
        "weights": weights,
        "images": {name: np.asarray(getattr(val, name)) for name in ("x_val", "y_val", "mean", "std")},
    }


def build_evaluator(payload: dict[str, Any]) -> SupernetEvaluator:
    """Return the evaluator of a trained supernet, in any process: `payload` is that of `evaluator_payload`."""
    base = with_front_end(load("space", SPACES, payload["space"]), payload.get("front_end"))
    space = without(base.with_input(*payload["target_input"]), payload["left_out"]).proxy(*payload["proxy"])
    val = jax.device_put(dict(payload["images"]))
    # An evaluator needs no training images.
    images = SearchImages(x_train=val["x_val"][:0], y_train=val["y_val"][:0], **val)
    graph = nnx.graphdef(_abstract(space, payload["buckets"]))
    task, int8 = payload.get("task", CLASSIFICATION), payload.get("int8", False)
    evaluator = SupernetEvaluator(space, graph, images, payload["batch"], task, int8=int8)
    evaluator.params = jax.device_put(dict(payload["weights"]))
    return evaluator


def evaluation_image_count(plan: SearchPlan) -> int:
    """Return the number of validation images that the evaluator takes accuracies on: whole batches."""
    val = split_for_search(plan.dataset, plan.preset.validation_fraction, plan.settings.seed)[1]
    images = min(len(val), plan.preset.eval_images)
    batch = min(plan.preset.eval_batch, images)
    return max(1, images // batch) * batch
