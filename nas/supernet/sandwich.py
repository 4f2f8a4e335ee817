"""A supernet trained once for any number of searches, by the sandwich rule with in-place distillation.

Sandwich rule (Yu and Huang 2019, arXiv 1903.05134, section 3.2; BigNAS, arXiv 2003.11142, section 3): every step runs
the largest architecture, the smallest, and two random ones on the same images and adds their gradients. The largest
learns from the labels, all others from its softened predictions. All architectures of the space share the weights, so
the stages of a search and all targets are served by one training. Randomness comes from (seed, step).

Ours: one of the random two is from the coarse view. Its blocks are all alike, which a draw from the whole space never
gives, and the first stage of a search ranks nothing else.
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

from nas.data import Augmentation, augment, to_input
from nas.space.cost_table import MACS, compile_table
from nas.space.genotypes import embedding
from nas.space.staged import StagedSpace
from nas.supernet.evaluator import SearchImages
from nas.supernet.presets import Preset
from nas.supernet.supernet import Params, Supernet, parameters, with_parameters
from nas.training.devices import compute_dtype, copy_arrays
from nas.training.optimizers import make_optimizer

RANDOM = 2  # random architectures per step, beside the largest and the smallest; the first is of the coarse view
NUMBER = 2  # separates the random numbers from those of the joint search's stages, 0 and 1


class SandwichState(NamedTuple):
    """All that the training carries from one step to the next."""

    params: Params
    optimizer: Any
    step: Array


class SandwichMetrics(NamedTuple):
    """What one step tells of [largest, smallest, random, ...]: cross entropy with what each learns from, and top-1."""

    loss: Array
    top1: Array


@dataclass(frozen=True)
class SandwichTraining:
    """The training as data."""

    space: StagedSpace  # of proxies, with all decisions
    preset: Preset
    augmentation: Augmentation
    seed: int

    @property
    def steps(self) -> int:
        """So many that as many random architectures run as the joint search of the preset updates its weights for."""
        stages = self.preset.coarse, self.preset.fine
        return max(1, sum(stage.steps * stage.updates for stage in stages) // RANDOM)

    @property
    def steps_per_dispatch(self) -> int:
        """Steps per dispatch."""
        return self.preset.coarse.steps_per_dispatch

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """The optimizer of the shared weights, its schedule over all steps."""
        return make_optimizer(self.preset.optimizer, self.steps, self.preset.warmup_fraction)

    @cached_property
    def coarse(self) -> NDArray[np.int32]:
        """What the coarse view fixes [D]: the index of an option, -1 where it chooses."""
        view = self.space.coarse()
        deepest = [len(decision.options) - 1 for decision in view.decisions]  # all blocks are active
        fixed = embedding(self.space, view)(np.array([deepest], np.int32))[0]
        return np.where([decision.name in view.index_of for decision in self.space.decisions], -1, fixed).astype(
            np.int32
        )

    @cached_property
    def ends(self) -> NDArray[np.int32]:
        """The architectures of most and of fewest MACs, [2, D]."""
        table = compile_table(self.space, MACS)
        return self.space.canonical(np.array([table.maximum()[1], table.minimum()[1]]))

    def model(self) -> Supernet:
        """Return the supernet with fresh weights."""
        return Supernet(self.space, np.random.default_rng([self.seed, NUMBER]))

    def first_state(self) -> SandwichState:
        """Return the state before the first step."""
        params = parameters(self.model())
        state = params, jax.jit(self.optimizer.init, compiler_options=self.preset.compiler_options)(params), np.int32(0)
        return SandwichState(*copy_arrays(state))  # the steps donate every buffer


Chunk = Callable[[SandwichState, SearchImages, Array], tuple[SandwichState, SandwichMetrics]]


def compile_steps(training: SandwichTraining, devices: NamedSharding | None = None) -> Chunk:
    """Return the jitted function that runs as many steps as it gets rows of image indices [steps, batch].

    It takes the state (donated) and the images. `devices` shards batches over a mesh with an axis "batch".
    """
    graph, optimizer = nnx.graphdef(training.model()), training.optimizer
    sizes = jnp.asarray([len(decision.options) for decision in training.space.decisions])
    ends, coarse = jnp.asarray(training.ends), jnp.asarray(training.coarse)
    is_teacher = jnp.arange(len(ends) + RANDOM) == 0

    def step(state: SandwichState, rows: Array, images: SearchImages) -> tuple[SandwichState, SandwichMetrics]:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(training.seed), NUMBER), state.step)
        draw_key, augment_key = jax.random.split(key)
        sampled = jax.random.randint(draw_key, (RANDOM, len(sizes)), 0, sizes, jnp.int32)
        sampled = sampled.at[0].set(jnp.where(coarse < 0, sampled[0], coarse))
        x = augment(augment_key, images.x_train[rows], training.augmentation)
        x = to_input(x, images.mean, images.std, training.space.input_shape.channels).astype(compute_dtype())
        x = x if devices is None else lax.with_sharding_constraint(x, devices)
        labels = images.y_train[rows]

        def loss_of(params: Params, genotype: Array, targets: Array) -> tuple[Array, Array]:
            logits = with_parameters(graph, params)(x, genotype).astype(jnp.float32)
            return -(targets * jax.nn.log_softmax(logits)).sum(-1).mean(), logits

        def one(
            carry: tuple[Array, Params], which: tuple[Array, Array]
        ) -> tuple[tuple[Array, Params], SandwichMetrics]:
            targets, total = carry
            genotype, teaches = which
            (loss, logits), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params, genotype, targets)
            targets = jnp.where(teaches, jax.nn.softmax(logits), targets)
            top1 = (logits.argmax(-1) == labels).mean()
            return (targets, jax.tree.map(jnp.add, total, gradient)), SandwichMetrics(loss, top1)

        one_hot = jax.nn.one_hot(labels, training.space.num_classes)
        targets = optax.smooth_labels(one_hot, training.preset.label_smoothing)
        start = targets, jax.tree.map(jnp.zeros_like, state.params)
        (_, gradient), report = lax.scan(one, start, (jnp.concatenate([ends, sampled]), is_teacher))
        change, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        return SandwichState(optax.apply_updates(state.params, change), optimizer_state, state.step + 1), report

    def run_steps(state: SandwichState, images: SearchImages, rows: Array) -> tuple[SandwichState, SandwichMetrics]:
        return lax.scan(lambda s, r: step(s, r, images), state, rows)

    options = training.preset.compiler_options
    if devices is None:
        return jax.jit(run_steps, donate_argnums=0, compiler_options=options)
    everywhere = NamedSharding(devices.mesh, PartitionSpec())
    return jax.jit(run_steps, donate_argnums=0, out_shardings=everywhere, compiler_options=options)
