"""Networks trained alone as members of one compiled program, each with weights of its own.

A `Family` holds many architectures in one program: an architecture is an input of it, its weights lie in arrays of the
family's largest sizes, zero where the architecture has none. Initial weights, order of images, augmentation, optimizer,
average and schedule are those of `nas.training.loop` with the same seed, so that a member's training is the stand-alone
one up to rounding. A `StandAlone` family holds one architecture, and shares all of this module. Scores in int8 are
those of the weights cut out of the arrays: one network at a time, the same way in a group as alone.

Members of equal progress are trained as a group: on an accelerator many at a time (`vmap`), on a CPU one after the
other. Accuracies on the validation images are taken under the statistics of each batch of `EVALUATION_BATCH` of them.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from nas.arch import ArchSpec, save_arch
from nas.data import signature
from nas.nn.network import Weights, merged, save_weights, split_statistics
from nas.progress.stop import raise_if_stopped
from nas.records.journal import Journal
from nas.records.locks import locked
from nas.records.signatures import save_signature
from nas.tasks import MetricState, clipped, clipped_error, loss_of_batch
from nas.training.candidates import CandidateTrainings
from nas.training.checkpoints import Checkpoints
from nas.training.ema import ema_decay, ema_update
from nas.training.family import Family
from nas.training.int8_score import Int8Score, add_score, known_scores, score_in_int8
from nas.training.loop import CHECKPOINT_S, MAX_DISPATCH_STEPS, BatchLoader, TrainingPlan, initial_params
from nas.training.packing import Packed, Packing
from nas.training.step import (
    ImageSplit,
    Split,
    StepConfig,
    estimate_statistics,
    image_splits,
    in_target_units,
    step_key,
)
from nas.training.trainees import OnTraineeEpoch, TrainAll, Trained, Trainee, Trainers
from nas.training.trial import CURVE, ORPHAN_S, LearningCurve

EVALUATION_BATCH = 128  # validation images over which normalisation statistics are taken
GROUP = 16  # members trained at a time on an accelerator
KEPT_PROGRAMS = 16  # of networks that are programs of their own; more would fill the memory
KEPT_WITH_INT8 = 8  # ... and are scored in int8, by further programs


@dataclass(frozen=True)
class StandAlone:
    """The family of one architecture."""

    arch: ArchSpec

    @property
    def packing(self) -> Packing:
        """The packing of its parameters."""
        return _packing_of(self.arch)

    def genotype(self, arch: ArchSpec) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Return the input that stands for the one architecture."""
        return np.zeros(0, np.int32)

    def embedded(self, arch: ArchSpec, params: Weights) -> dict[str, Any]:
        """Return the parameters."""
        return dict(params)

    def cut(self, arch: ArchSpec, tensors: dict[str, Any]) -> Weights:
        """Return the parameters."""
        return dict(tensors)

    def logits(self, tensors: dict[str, Any], genotype: Array, x: Array) -> Array:
        """Return the logits [N, classes] of images x [N,H,W,C]."""
        return merged(self.arch, tensors)(x, batch_stats=True)


@lru_cache(maxsize=256)
def _packing_of(arch: ArchSpec) -> Packing:
    return Packing.of(split_statistics(initial_params(arch, 0, None))[0])


class MemberState(NamedTuple):
    """The state that a member carries from one step to the next; a group has a leading axis."""

    step: Array
    params: Packed
    average: Packed
    optimizer: optax.OptState


@dataclass(frozen=True)
class MemberProgram:
    """What the compiled programs of a family depend on; one compilation serves all members, seeds and lengths."""

    family: Family
    step: StepConfig  # with the family's `arch`

    def init_state(self, arch: ArchSpec, seed: int) -> MemberState:
        """Return the state of a member before its first step."""
        params, _ = split_statistics(initial_params(arch, seed, None))
        packed, average = (self.family.packing.pack(self.family.embedded(arch, params)) for _ in range(2))
        optimizer = jax.device_put(jax.tree.map(np.array, _optimizer_state(self, packed)))
        return MemberState(jax.device_put(np.int32(0)), packed, average, optimizer)


@partial(jax.jit, static_argnames="program")
def _optimizer_state(program: MemberProgram, packed: Packed) -> optax.OptState:
    """Return the optimizer's state before the first step."""
    return program.step.transform().init(packed)


def member_step(
    program: MemberProgram, state: MemberState, genotype: Array, rows: Array, key: Array, split: ImageSplit
) -> tuple[MemberState, Array]:
    """Return the state of a member after one step on the images `rows` [B], and the loss: `train_step`, packed."""
    c, family = program.step, program.family
    x, y, soft, _ = split.batch(step_key(key, state.step), rows, c)

    def loss_of(tensors: dict[str, Array]) -> Array:
        return loss_of_batch(c.task, family.logits(tensors, genotype, x), y, soft)

    # The gradient is taken for the tensors, and packed behind: that for the packed arrays would be a sum of as many
    # long arrays as there are tensors.
    loss, gradient = jax.value_and_grad(loss_of)(family.packing.unpack(state.params))
    updates, optimizer = c.transform().update(family.packing.pack(gradient), state.optimizer, state.params)
    params: Any = optax.apply_updates(state.params, updates)
    average = ema_update(state.average, params, ema_decay(state.step, c.ema_decay))
    return MemberState(state.step + 1, params, average, optimizer), loss


def _steps(
    program: MemberProgram, state: MemberState, genotype: Array, rows: Array, count: int, seed: Array, split: ImageSplit
) -> tuple[MemberState, Array]:
    """Return the state after the first `count` of the steps on `rows` [S, B], and the sum of their losses."""
    key = jax.random.key(seed)

    def body(i: Array, carry: tuple[MemberState, Array]) -> tuple[MemberState, Array]:
        state, loss = member_step(program, carry[0], genotype, rows[i], key, split)
        return state, carry[1] + loss

    after: tuple[MemberState, Array] = lax.fori_loop(0, count, body, (state, jnp.float32(0)))
    return after


def _scored(
    program: MemberProgram, average: Packed, genotype: Array, rows: Array, counted: Array, split: ImageSplit
) -> MetricState:
    """Return the state of the task's score over those images of the batches `rows` [batches, B] that are `counted`."""
    tensors, task = program.family.packing.unpack(average), program.step.task

    def of_batch(batch: tuple[Array, Array]) -> MetricState:
        row, counts = batch
        outputs = program.family.logits(tensors, genotype, split.inputs(split.x[row], program.step.arch))
        return task.score.add(task.score.zero(), outputs, task.scaled(split.y[row]), counts)

    found: MetricState = jax.tree.map(lambda each: each.sum(0), lax.map(of_batch, (rows, counted)))
    return found


@partial(jax.jit, static_argnames="program", donate_argnames="state")
def run_steps(
    program: MemberProgram, state: MemberState, genotype: Array, rows: Array, count: int, seed: Array, split: ImageSplit
) -> tuple[MemberState, Array]:
    """Return the state of a member after `count` steps, and the sum of their losses; `state` is donated."""
    return _steps(program, state, genotype, rows, count, seed, split)


@partial(jax.jit, static_argnames="program", donate_argnames="state")
def run_group_steps(
    program: MemberProgram, state: MemberState, genotype: Array, rows: Array, count: int, seed: Array, split: ImageSplit
) -> tuple[MemberState, Array]:
    """Return `run_steps` of each member of a group: every argument but `count` and `split` has a leading axis."""
    return jax.vmap(partial(_steps, program), (0, 0, 0, None, 0, None))(state, genotype, rows, count, seed, split)


@partial(jax.jit, static_argnames="program")
def run_scored(
    program: MemberProgram, average: Packed, genotype: Array, rows: Array, counted: Array, split: ImageSplit
) -> MetricState:
    """Return the state of the score of a member over the `counted` images of the batches `rows`."""
    return _scored(program, average, genotype, rows, counted, split)


@partial(jax.jit, static_argnames="program")
def run_group_scored(
    program: MemberProgram, average: Packed, genotype: Array, rows: Array, counted: Array, split: ImageSplit
) -> MetricState:
    """Return `run_scored` of each member of a group, on a leading axis that `average` and `genotype` have too."""
    return jax.vmap(partial(_scored, program), (0, 0, None, None, None))(average, genotype, rows, counted, split)


@dataclass
class _Member:
    """A member that is being trained: its plan, its open folder, and its state after `done` steps."""

    trainee: Trainee
    plan: TrainingPlan
    folder: Path
    curve: LearningCurve
    checkpoints: Checkpoints
    done: int
    state: MemberState
    error: str = ""
    in_int8: Int8Score | None = None

    def result(self) -> Trained:
        """Return what the training came to."""
        curve = () if self.error else tuple(self.curve.known[: self.trainee.epochs])
        return Trained(self.trainee, curve, self.error, self.in_int8)


class MemberTrainer:
    """Trains members of the trainings' family, or each architecture as a program of its own where they have none."""

    def __init__(self, trials: CandidateTrainings, on_epoch: OnTraineeEpoch, group: int | None = None) -> None:
        """Train `group` members at a time: by default one on a CPU, where it uses no `vmap`, and `GROUP` elsewhere."""
        self.trials, self.on_epoch, self.family = trials, on_epoch, trials.family
        self.compiled: set[str] = set()  # digests of the networks whose programs are kept
        usual = 1 if jax.default_backend() == "cpu" else GROUP
        self.train_split, self.val_split = image_splits(trials.data)
        together = self.family is not None and isinstance(self.train_split, ImageSplit)
        self.group = (group or usual) if together else 1

    def train(self, trainees: Sequence[Trainee]) -> Iterator[Trained]:
        """Train all from where their folders stand, and yield their results, those with nothing to do first."""
        waiting = []
        for one in trainees:
            curve = self.trials.known_curve(one.digest, one.epochs, one.seed)
            for epoch, top1 in enumerate(curve, start=1):
                self.on_epoch(one, epoch, top1)
            if curve:
                yield Trained(one, tuple(curve), "", self.trials.score_in_int8(one.digest, one.epochs, one.seed))
            else:
                waiting.append(one)
        for start in range(0, len(waiting), self.group):
            yield from self._together(waiting[start : start + self.group])

    def _together(self, trainees: Sequence[Trainee]) -> Iterator[Trained]:
        """Train some at a time, those of equal progress as a group."""

        def progress(member: _Member) -> tuple[int, int]:
            return member.done, member.trainee.epochs

        with ExitStack() as stack:
            members = sorted((self._opened(one, stack) for one in trainees), key=progress)
            for _, group in groupby(members, progress):
                together = list(group)
                self._train_group(together)
                yield from (member.result() for member in together)

    def _opened(self, one: Trainee, stack: ExitStack) -> _Member:
        """Lock the folder of a training until `stack` closes, and return the member as it stands there."""
        folder = self.trials.of(one.digest, one.seed)
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(folder, ORPHAN_S))
        curve = LearningCurve(Journal(folder / "curve.jsonl", CURVE), partial(self.on_epoch, one))
        for epoch, top1 in enumerate(curve.known[: one.epochs], start=1):
            self.on_epoch(one, epoch, top1)
        family = self.family or StandAlone(one.arch)
        plan = TrainingPlan(family.arch, replace(self.trials.config, seed=one.seed), self.trials.data, self.train_split)
        checkpoints = stack.enter_context(closing(Checkpoints(folder / "checkpoints")))
        state = MemberProgram(family, plan.step_config).init_state(one.arch, one.seed)
        done, state = checkpoints.latest(state) or (0, state)
        return _Member(one, plan, folder, curve, checkpoints, done, state)

    def _train_group(self, members: Sequence[_Member]) -> None:
        """Train members of equal progress to the end of their last epoch; at the full length write their weights."""
        plan, until = members[0].plan, members[0].trainee.epochs
        self._make_room(members[0].trainee.arch)
        running = _Running(MemberProgram(self.family or StandAlone(members[0].trainee.arch), plan.step_config), members)
        saved = time.monotonic()
        with closing(BatchLoader(plan)) as loader:
            for epoch in range(members[0].done // plan.per_epoch + 1, until + 1):
                running.train_epoch(epoch, loader)
                if all(member.error for member in members):
                    return
                if any(epoch > len(member.curve.known) for member in members):
                    running.evaluate(epoch, self.val_split)
                if epoch == until or time.monotonic() - saved > CHECKPOINT_S:
                    running.save(epoch * plan.per_epoch)
                    saved = time.monotonic()
        for member in members:
            if not member.error and (self.trials.int8 or until == plan.config.epochs):
                self._end(member)

    def _end(self, member: _Member) -> None:
        """Score a member in int8 where that is asked for, and write what was trained to the full length."""
        trials, until, weights = self.trials, member.trainee.epochs, self._weights(member)
        if trials.int8:
            found = known_scores(member.folder).get(until)
            if found is None:
                task, splits = member.plan.data.task, (self.train_split, self.val_split)
                found = score_in_int8(task, member.trainee.arch, weights, *splits)
                add_score(member.folder, until, found)
            member.in_int8 = found
        if until == member.plan.config.epochs:
            self._write(member, weights)

    def _make_room(self, arch: ArchSpec) -> None:
        """Drop the compiled programs where there are many, before that of another network is compiled."""
        if self.family is None and len(self.compiled | {arch.digest}) > (
            KEPT_WITH_INT8 if self.trials.int8 else KEPT_PROGRAMS
        ):
            jax.clear_caches()
            self.compiled.clear()
        self.compiled.add(arch.digest)

    def _weights(self, member: _Member) -> Weights:
        """Return the averaged weights of a member, with the statistics of the training images."""
        arch = member.trainee.arch
        family = self.family or StandAlone(arch)
        statistics = split_statistics(initial_params(arch, member.trainee.seed, None))[1]
        trained = {name: jnp.asarray(value) for name, value in family.cut(arch, _averages(family, member)).items()}
        return estimate_statistics(arch, trained | statistics, self.train_split, member.plan.config.batch_size)

    def _write(self, member: _Member, weights: Weights) -> None:
        """Write architecture, weights and signature of a member that was trained to the full length."""
        arch, plan = member.trainee.arch, member.plan
        save_arch(arch, member.folder / "arch.json")
        weights = in_target_units(plan.data.task, weights)
        save_weights(member.folder / "weights.safetensors", weights, arch, "trained")
        save_signature(signature(plan.data, arch.input_shape), member.folder)


def _averages(family: Family, member: _Member) -> dict[str, Any]:
    """Return the averaged tensors of a member, on the host."""
    return family.packing.unpack(jax.device_get(member.state.average))


class _Running:
    """A group of members on the device, or one member without the leading axis of a group."""

    def __init__(self, program: MemberProgram, members: Sequence[_Member]) -> None:
        self.program, self.members, self.grouped = program, members, len(members) > 1
        # The last member fills the group to one of a few sizes: every size is a program to compile.
        self.filled = [*members, *[members[-1]] * (filled_size(len(members)) - len(members))]
        genotypes = [program.family.genotype(member.trainee.arch) for member in self.filled]
        seeds = [np.uint32(member.trainee.seed) for member in self.filled]
        self.genotype, self.seed = self._joined(genotypes), self._joined(seeds)
        self.state = stacked_states([member.state for member in self.filled]) if self.grouped else members[0].state

    def _joined(self, each: Sequence[Any]) -> Array:
        """Return the arrays of all members with a leading axis, or that of the one member."""
        return jax.device_put(np.stack(each) if self.grouped else each[0])

    def train_epoch(self, epoch: int, loader: BatchLoader) -> None:
        """Run the steps of one epoch, counted from 1; a member whose loss is no longer finite gets an error."""
        per_epoch = self.members[0].plan.per_epoch
        done, last = (epoch - 1) * per_epoch, epoch * per_epoch
        while done < last:
            raise_if_stopped()
            images, rows, count = loader.dispatch(done, min(MAX_DISPATCH_STEPS, last - done))
            run = run_steps
            if self.grouped:
                run, rows = run_group_steps, self._joined([one.plan.rows(done, count) for one in self.filled])
            self.state, losses = run(self.program, self.state, self.genotype, rows, count, self.seed, images)
            done += count
            for member, loss in zip(self.members, np.atleast_1d(losses), strict=False):
                if not np.isfinite(loss) and not member.error:
                    member.error = f"the loss is no longer finite at step {done}; lower the learning rate"
            if all(member.error for member in self.members):
                return

    def evaluate(self, epoch: int, split: Split) -> None:
        """Record the score of each member on the validation images: of classification top-1."""
        count = split.images
        batch = min(EVALUATION_BATCH, count)
        padded = np.arange(-(-count // batch) * batch, dtype=np.int32).reshape(-1, batch)
        rows, start, score = np.minimum(padded, count - 1), 0, self.program.step.task.score
        states = [score.zero() for _ in self.filled]
        run = run_group_scored if self.grouped else run_scored
        for images, part in split.parts(rows):  # the last image fills the last batch, and counts once
            counted = jax.device_put(padded[start : start + len(part)] < count)
            found = jax.device_get(run(self.program, self.state.average, self.genotype, part, counted, images))
            each = [found] if not self.grouped else [MetricState(*row) for row in zip(*found, strict=True)]
            states = [score.merge(state, one) for state, one in zip(states, each, strict=True)]
            start += len(part)
        is_share = self.program.step.task.outputs == "classes"
        for member, state in zip(self.members, states, strict=False):
            if not member.error:
                error = None if is_share else clipped_error(score.standard_error(state))
                member.curve.add(epoch, clipped(score.value(state)), error)

    def save(self, step: int) -> None:
        """Write a checkpoint of each member."""
        for i, member in enumerate(self.members):
            member.state = jax.tree.map(lambda array, i=i: array[i], self.state) if self.grouped else self.state
            if not member.error:
                member.checkpoints.save(step, member.state)


def filled_size(members: int) -> int:
    """Return the size of the group that so many members are filled up to: 1, 4, 16, ..."""
    size = 1
    while size < members:
        size *= 4
    return size


def stacked_states(states: Sequence[MemberState]) -> MemberState:
    """Return the states with a leading axis, made on the host."""
    stacked: MemberState = jax.tree.map(lambda *each: jax.device_put(np.stack(each)), *map(jax.device_get, states))
    return stacked


@contextmanager
def as_members(trials: CandidateTrainings, on_epoch: OnTraineeEpoch, *, group: int | None = None) -> Iterator[TrainAll]:
    """Yield the function that trains networks as members of the trainings' family, `group` of them at a time.

    Compiled programs are kept from call to call, and dropped when the context ends.
    """
    yield MemberTrainer(trials, on_epoch, group).train
    jax.clear_caches()


IN_PROCESS = Trainers(trainees=as_members)
