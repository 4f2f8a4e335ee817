"""Sandwich training: a supernet trained once, without a policy, for any number of searches.

The sandwich rule (Yu and Huang 2019, arXiv 1903.05134, section 3.2; BigNAS, arXiv 2003.11142, section 3): every step
runs the largest architecture, the smallest, and two random ones on the same images and adds their gradients. The
largest learns from the labels; the others learn from its softened predictions of the same step (in-place
distillation). All architectures of the space share the weights, so one training serves the stages of a search and all
targets. Randomness comes from (seed, step).

Our addition: one of the two random architectures is from the coarse view of the space. Its blocks are all alike, which
a uniform sample of the whole space never gives, and the first stage of a search ranks nothing else.

A supernet whose architectures of all sizes are compared with each other (`all_sizes`) is not trained on the smallest in
every step: that makes it better than much larger ones. Two of its three random architectures are from the coarse view,
and the third has some other blocks; in every fourth step on average it is the smallest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array, lax
from jax.sharding import NamedSharding, PartitionSpec
from numpy.typing import NDArray

from nas.data import Augmentation
from nas.space.cost_table import MACS, compile_table
from nas.space.genotypes import embedding
from nas.space.staged import StagedSpace
from nas.supernet.buckets import buckets_for
from nas.supernet.evaluator import SearchImages
from nas.supernet.presets import Preset
from nas.supernet.supernet import Params, Supernet, parameters, with_parameters
from nas.tasks import CLASSIFICATION, Task, score_of_batch
from nas.training.devices import copy_arrays
from nas.training.optimizers import make_optimizer

OTHER_BLOCKS = 0.25  # of the blocks' decisions of the third random architecture are not those of the coarse view
SMALLEST_SHARE = 0.25  # of the steps in which the smallest takes the place of the third random one
RANDOM_ARCHITECTURES = 2  # per step, beside the largest and the smallest; the first is from the coarse view
STREAM = 2  # separates the random numbers from those of the joint search's stages, 0 and 1


class SandwichState(NamedTuple):
    """The state that the training carries from one step to the next."""

    params: Params
    optimizer: Any
    step: Array


class SandwichMetrics(NamedTuple):
    """Metrics of one step on training images, for each architecture of it: [largest, smallest, coarse, random].

    With `all_sizes` [largest, coarse, coarse, random].
    """

    loss: Array  # cross entropy, nats: of the largest with the labels, of the others with its predictions
    top1: Array


@dataclass(frozen=True)
class SandwichTraining:
    """Settings of a sandwich training."""

    space: StagedSpace  # of proxies, with all decisions
    preset: Preset
    augmentation: Augmentation
    seed: int
    class_weights: tuple[float, ...] = ()  # of the loss
    all_sizes: bool = False  # architectures of all sizes are compared with each other
    task: Task = CLASSIFICATION

    @property
    def own_task(self) -> Task:
        """The task with the settings of this training's loss."""
        return self.task.configured(self.preset.label_smoothing, self.class_weights)

    @property
    def steps(self) -> int:
        """Steps of the training: the random architectures that run are as many as a joint search has weight updates."""
        stages = self.preset.coarse, self.preset.fine
        return max(1, sum(stage.steps * stage.updates for stage in stages) // RANDOM_ARCHITECTURES)

    @property
    def buckets(self) -> int:
        """Sizes at most at which a block is computed; see `nas.supernet.buckets`."""
        return buckets_for(self.steps * (2 + RANDOM_ARCHITECTURES))

    @property
    def steps_per_dispatch(self) -> int:
        """Steps that run in one dispatch; a checkpoint can stand between two dispatches."""
        return self.preset.coarse.steps_per_dispatch

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """The optimizer of the shared weights, its schedule over all steps."""
        return make_optimizer(self.preset.optimizer, self.steps, self.preset.warmup_fraction)

    @cached_property
    def coarse(self) -> NDArray[np.int32]:
        """The option index of each decision [D] that the coarse view fixes, -1 for those it leaves open."""
        view = self.space.coarse()
        # Embed its deepest architecture: in a shallower one, decisions of blocks that are not there would read 0.
        deepest = [len(decision.options) - 1 for decision in view.decisions]
        fixed = embedding(self.space, view)(np.array([deepest], np.int32))[0]
        left_open = [decision.name in view.index_of for decision in self.space.decisions]
        return np.where(left_open, -1, fixed).astype(np.int32)

    @cached_property
    def extremes(self) -> NDArray[np.int32]:
        """The architectures of most and of fewest MACs [2, D]."""
        table = compile_table(self.space, MACS)
        return self.space.canonical(np.array([table.maximum()[1], table.minimum()[1]]))

    def model(self) -> Supernet:
        """Return the supernet with fresh weights."""
        return Supernet(self.space, np.random.default_rng([self.seed, STREAM]), self.buckets)

    def init_state(self, start: Callable[[Params], Params] = lambda fresh: fresh) -> SandwichState:
        """Return the state before the first step; `start` makes the arrays that it begins with of the fresh ones."""
        params = start(parameters(self.model()))
        state = params, jax.jit(self.optimizer.init, compiler_options=self.preset.compiler_options)(params), np.int32(0)
        return SandwichState(*copy_arrays(state))  # the steps donate every buffer


def step_architectures(training: SandwichTraining, key: Array) -> Array:
    """Return the architectures of one step [A, D], the largest first; the same for the same `key`."""
    sizes = jnp.asarray([len(decision.options) for decision in training.space.decisions])
    extremes, coarse = jnp.asarray(training.extremes), jnp.asarray(training.coarse)
    if not training.all_sizes:
        sampled = jax.random.randint(key, (RANDOM_ARCHITECTURES, len(sizes)), 0, sizes, jnp.int32)
        return jnp.concatenate([extremes, sampled.at[0].set(jnp.where(coarse < 0, sampled[0], coarse))])
    draw_key, block_key, smallest_key = jax.random.split(key, 3)
    sampled = jax.random.randint(draw_key, (RANDOM_ARCHITECTURES + 1, len(sizes)), 0, sizes, jnp.int32)
    share = jnp.zeros(len(sampled)).at[-1].set(OTHER_BLOCKS)
    is_open = (coarse < 0) | (jax.random.uniform(block_key, sampled.shape) < share[:, None])
    sampled = jnp.where(is_open, sampled, coarse)
    is_smallest = jax.random.uniform(smallest_key) < SMALLEST_SHARE
    return jnp.concatenate([extremes[:1], sampled.at[-1].set(jnp.where(is_smallest, extremes[1], sampled[-1]))])


SandwichSteps = Callable[[SandwichState, SearchImages, Array], tuple[SandwichState, SandwichMetrics]]


def _keys_of_step(training: SandwichTraining, step: Array) -> Array:
    """Return the keys [2] of a step: of its architectures, and of augmentation.

    They follow from the step's number alone, so that no generator has to be stored in a checkpoint.
    """
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(training.seed), STREAM), step)
    return jax.random.split(key)


def augmentation_keys(training: SandwichTraining, first: int, count: int) -> Array:
    """Return the keys [count] by which the batches of `count` steps from step `first` on are augmented."""
    return jax.vmap(lambda step: _keys_of_step(training, step)[1])(first + jnp.arange(count, dtype=jnp.int32))


def compile_steps(training: SandwichTraining, devices: NamedSharding | None = None) -> SandwichSteps:
    """Return the jitted function that runs as many steps as it gets rows of image indices [steps, batch].

    It takes the state (donated) and the images. `devices` shards batches over a mesh with an axis "batch".
    """
    graph, optimizer, task = nnx.graphdef(training.model()), training.optimizer, training.own_task
    is_teacher = jnp.arange(len(training.extremes) + RANDOM_ARCHITECTURES) == 0  # the largest, which runs first

    def step(state: SandwichState, rows: Array, images: SearchImages) -> tuple[SandwichState, SandwichMetrics]:
        draw_key, augment_key = _keys_of_step(training, state.step)
        architectures = step_architectures(training, draw_key)
        x, labels, soft = images.batch(augment_key, rows, training.augmentation, training.space)
        x = x if devices is None else lax.with_sharding_constraint(x, devices)

        def loss_of(params: Params, genotype: Array, targets: Array) -> tuple[Array, Array]:
            logits = with_parameters(graph, params)(x, genotype).astype(jnp.float32)
            return task.distil(logits, targets, labels), logits

        def add_gradient(
            carry: tuple[Array, Params], architecture: tuple[Array, Array]
        ) -> tuple[tuple[Array, Params], SandwichMetrics]:
            targets, total = carry
            genotype, teaches = architecture
            (loss, logits), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params, genotype, targets)
            # After the teacher, its answers (of a classification probabilities) replace the labels as targets of all
            # that follow. They enter the next iteration as numbers, outside of the gradient: no gradient flows from a
            # student to the teacher.
            targets = jnp.where(teaches, task.taught(logits), targets)
            top1 = score_of_batch(task, logits, labels)
            return (targets, jax.tree.map(jnp.add, total, gradient)), SandwichMetrics(loss, top1)

        targets = task.soft(labels, training.space.num_classes) if soft is None else soft
        # A scan over the architectures compiles the network once, and holds the activations of one at a time.
        start = targets, jax.tree.map(jnp.zeros_like, state.params)
        (_, gradient), report = lax.scan(add_gradient, start, (architectures, is_teacher))
        change, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        return SandwichState(optax.apply_updates(state.params, change), optimizer_state, state.step + 1), report

    def run_steps(state: SandwichState, images: SearchImages, rows: Array) -> tuple[SandwichState, SandwichMetrics]:
        return lax.scan(lambda s, r: step(s, r, images), state, rows)

    options = training.preset.compiler_options
    if devices is None:
        return jax.jit(run_steps, donate_argnums=0, compiler_options=options)
    everywhere = NamedSharding(devices.mesh, PartitionSpec())
    return jax.jit(run_steps, donate_argnums=0, out_shardings=everywhere, compiler_options=options)
