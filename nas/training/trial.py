"""A trial of candidate re-training: one network trained alone to any epoch, with its top-1 after each.

Settings and compiled steps are those of `nas train`, and the schedule spans the full length wherever a trial stops. A
folder holds curve.jsonl, checkpoints and, at the full length, the weights. Stopping and going on changes no byte.
"""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp

from nas.arch import ArchSpec, save_arch
from nas.data import Dataset, signature
from nas.errors import InvalidInput
from nas.nn.network import Weights, save_weights, split_statistics
from nas.progress.stop import raise_if_stopped
from nas.records.journal import Journal
from nas.records.locks import locked
from nas.records.signatures import save_signature
from nas.training.checkpoints import Checkpoints
from nas.training.loop import (
    CHECKPOINT_S,
    MAX_DISPATCH_STEPS,
    BatchLoader,
    TrainingConfig,
    TrainingPlan,
    initial_params,
)
from nas.training.step import (
    TrainState,
    estimate_statistics,
    image_splits,
    in_target_units,
    init_state,
    run_steps,
    score_on,
)

CURVE = ("epoch", "top1")  # the fields of a record of curve.jsonl
ORPHAN_S = 60.0  # how long to wait for a folder: a worker may outlive a driver that was killed, by a little
OnEpoch = Callable[[int, float], None]  # called with an epoch, and the top-1 after it


def train_until(
    arch: ArchSpec, data: Dataset, config: TrainingConfig, folder: Path, *, until: int, on_epoch: OnEpoch
) -> list[float]:
    """Train to the end of epoch `until`, from where `folder` stands, and return the top-1 after each epoch [until].

    `data` is a `nas.data.validation_view` at the resolution of `arch`. `on_epoch` is called for every epoch, known ones
    included, so that a scheduler sees the whole curve after a crash.
    Raises `InvalidInput` where the loss is no longer finite, or another process holds the folder for `ORPHAN_S`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, ORPHAN_S):
        curve = LearningCurve(Journal(folder / "curve.jsonl", CURVE), on_epoch)
        for epoch in range(1, min(until, len(curve.known)) + 1):
            on_epoch(epoch, curve.known[epoch - 1])
        if not known_curve(config, folder, until):
            _continue(TrainingPlan(arch, config, data, image_splits(data)[0]), curve, folder, until)
    return curve.known[:until]


def known_curve(config: TrainingConfig, folder: Path, until: int) -> list[float]:
    """Return the top-1 after each epoch [until] where `train_until` would have nothing to do, else an empty list."""
    path = folder / "curve.jsonl"
    curve = [float(record["top1"]) for record in Journal(path, CURVE).records] if path.exists() else []
    whole = until < config.epochs or (folder / "weights.safetensors").exists()
    return curve[:until] if whole and len(curve) >= until else []


def known_errors(folder: Path) -> tuple[float | None, ...]:
    """Return the standard error after each epoch; None for that of a share, and in files of earlier releases."""
    path = folder / "curve.jsonl"
    return tuple(record.get("standard_error") for record in Journal(path, CURVE).records) if path.exists() else ()


class LearningCurve:
    """The learning curve of a trial so far, kept in the journal of its folder."""

    def __init__(self, journal: Journal, on_epoch: OnEpoch) -> None:
        self.journal, self.on_epoch = journal, on_epoch
        self.known = [float(record["top1"]) for record in journal.records]

    def add(self, epoch: int, accuracy: float, error: float | None = None) -> None:
        """Record the accuracy after an epoch, unless it is known; `error` is its standard error, None of a share."""
        if epoch > len(self.known):
            known = {} if error is None else {"standard_error": error}
            self.journal.append({"epoch": epoch, "top1": accuracy, **known})
            self.known.append(accuracy)
            self.on_epoch(epoch, accuracy)


def _continue(plan: TrainingPlan, curve: LearningCurve, folder: Path, until: int) -> None:
    """Train from the newest checkpoint in `folder` to the end of epoch `until`; at the full length save the weights."""
    arch, config, val_split = plan.arch, plan.config, image_splits(plan.data)[1]
    params, statistics = split_statistics(initial_params(arch, config.seed, None))
    state = init_state(plan.step_config, params)

    def weights_of(state: TrainState) -> Weights:
        return estimate_statistics(arch, state.average | statistics, plan.split, config.batch_size)

    with closing(Checkpoints(folder / "checkpoints")) as checkpoints, closing(BatchLoader(plan)) as loader:
        done, state = checkpoints.latest(state) or (0, state)
        saved = time.monotonic()
        for epoch in range(done // plan.per_epoch + 1, until + 1):
            state = _epoch(plan, loader, state, epoch)
            if epoch > len(curve.known):
                curve.add(epoch, *score_on(plan.data.task, arch, weights_of(state), val_split))
            if epoch == until or time.monotonic() - saved > CHECKPOINT_S:
                checkpoints.save(epoch * plan.per_epoch, state)
                saved = time.monotonic()
    if until == config.epochs:
        save_arch(arch, folder / "arch.json")
        weights = in_target_units(plan.data.task, weights_of(state))
        save_weights(folder / "weights.safetensors", weights, arch, "trained")
        save_signature(signature(plan.data, arch.input_shape), folder)
    jax.clear_caches()  # every network has compiled programs of its own


def _epoch(plan: TrainingPlan, loader: BatchLoader, state: TrainState, epoch: int) -> TrainState:
    """Return the state after the steps of one epoch, counted from 1."""
    done, last = (epoch - 1) * plan.per_epoch, epoch * plan.per_epoch
    while done < last:
        raise_if_stopped()
        images, rows, count = loader.dispatch(done, min(MAX_DISPATCH_STEPS, last - done))
        state, (loss, _) = run_steps(plan.step_config, state, rows, count, plan.config.seed, images)
        done += count
        if not bool(jnp.isfinite(loss)):
            raise InvalidInput(f"the loss is no longer finite at step {done}; lower the learning rate")
    return state
