"""One stage of the joint search: shared weights and controller trained together, after TuNAS (arXiv 2008.06120).

A controller step is `updates` steps of the weights on training images, each for one architecture that the policy
draws near the target, then one REINFORCE step on validation images. While the policy idles (the first quarter),
depthwise decisions are warmed up: with a probability that falls from 1 to 0 one runs the average of its options.
Everything is a pure function of a `SearchState`; randomness comes from (seed, step). Many steps run in one dispatch.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array, lax
from jax.sharding import NamedSharding, PartitionSpec
from numpy.typing import NDArray

from nas.data import Augmentation, augment, to_input
from nas.search.algorithms import reinforce
from nas.search.constraints.repair import Constraints
from nas.space.cost_table import CostTable
from nas.space.staged import StagedSpace
from nas.supernet.evaluator import SearchImages, SupernetEvaluator
from nas.supernet.presets import Preset, StageBudget
from nas.supernet.supernet import Params, Supernet, with_parameters
from nas.training.devices import compute_dtype, copy_arrays
from nas.training.loss import smoothed_cross_entropy
from nas.training.optimizers import make_optimizer


class SearchState(NamedTuple):
    """All that a stage of the search carries from one step to the next."""

    params: Params
    optimizer: Any
    policy: reinforce.Policy


class StepMetrics(NamedTuple):
    """What one controller step tells, as means: loss and top-1 on training images, top-1 on validation ones."""

    loss: Array
    train_top1: Array
    reward_top1: Array


@dataclass(frozen=True)
class JointStage:
    """One stage as data: the space of proxies that is trained, what deployed networks cost, how long it takes."""

    name: str
    number: int  # separates the random numbers of the stages
    space: StagedSpace  # of proxies
    constraints: Constraints  # over the same decisions, for the deployed networks
    budget: StageBudget
    preset: Preset
    augmentation: Augmentation
    seed: int

    @property
    def controller(self) -> reinforce.Reinforce:
        """The controller's constants for this stage's length."""
        return reinforce.Reinforce(self.budget.steps, self.budget.samples, self.budget.policy_warmup_fraction)

    @property
    def choices(self) -> reinforce.DecisionArrays:
        """The decisions as arrays."""
        return reinforce.DecisionArrays.of(self.space.decisions)

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """The optimizer of the shared weights, its schedule over all their updates."""
        updates = self.budget.steps * self.budget.updates
        return make_optimizer(self.preset.optimizer, updates, self.preset.warmup_fraction)


def init_state(stage: JointStage, params: Params) -> SearchState:
    """Return the state before the first step, from fresh or inherited weights."""
    optimizer = jax.jit(stage.optimizer.init, compiler_options=stage.preset.compiler_options)(params)
    state = SearchState(params, optimizer, reinforce.init(stage.controller, stage.choices))
    return SearchState(*copy_arrays(tuple(state)))  # the steps donate every buffer


class CompiledSteps(Protocol):
    """A jitted chunk of controller steps; see `compile_chunk`."""

    def __call__(
        self, state: SearchState, images: SearchImages, train: Array, val: Array
    ) -> tuple[SearchState, StepMetrics]: ...

    def lower(self, state: SearchState, images: SearchImages, train: Array, val: Array) -> Any: ...


def compile_steps(
    stage: JointStage, graph: "nnx.GraphDef[Supernet]", devices: NamedSharding | None = None
) -> CompiledSteps:
    """Return the jitted function that runs as many controller steps as it gets rows of image indices.

    It takes the state (donated), the images, training indices [steps, updates, batch] and validation indices
    [steps, reward_batch]. `devices` shards batches over a mesh with an axis "batch".
    """
    update, learn = _weight_update(stage, graph, devices), _controller_step(stage, graph, devices)

    def step(state: SearchState, rows: tuple[Array, Array], images: SearchImages) -> tuple[SearchState, StepMetrics]:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(stage.seed), stage.number), state.policy.step)
        keys = jax.random.split(key, stage.budget.updates + 1)
        state, (loss, top1) = lax.scan(lambda s, xs: update(s, images, *xs), state, (rows[0], keys[1:]))
        policy, reward_top1 = lax.cond(
            state.policy.step < stage.controller.policy_warmup_steps,
            lambda: (reinforce.skip(state.policy), jnp.asarray(jnp.nan)),
            lambda: learn(state, images, rows[1], keys[0]),
        )
        return state._replace(policy=policy), StepMetrics(loss.mean(), top1.mean(), reward_top1)

    def run_steps(
        state: SearchState, images: SearchImages, train: Array, val: Array
    ) -> tuple[SearchState, StepMetrics]:
        return lax.scan(lambda s, rows: step(s, rows, images), state, (train, val))

    options = stage.preset.compiler_options
    if devices is None:
        return jax.jit(run_steps, donate_argnums=0, compiler_options=options)
    everywhere = NamedSharding(devices.mesh, PartitionSpec())
    return jax.jit(run_steps, donate_argnums=0, out_shardings=everywhere, compiler_options=options)


def _weight_update(stage: JointStage, graph: Any, devices: NamedSharding | None) -> Callable[..., Any]:
    """Return one step of the shared weights for one sampled architecture."""
    optimizer, warm, near = stage.optimizer, _warm_options(stage), _near_target(stage)
    warmup_steps = max(1, stage.controller.policy_warmup_steps)

    def update(
        state: SearchState, images: SearchImages, rows: Array, key: Array
    ) -> tuple[SearchState, tuple[Array, Array]]:
        sample_key, coin_key, augment_key = jax.random.split(key, 3)
        sampled = near(state.policy, sample_key, 1)[1][0]
        warm_share = jnp.clip(1 - state.policy.step / warmup_steps, 0, 1)
        warmed = jax.random.bernoulli(coin_key, warm_share, sampled.shape)
        genotype = jnp.where(warmed & (warm >= 0), warm, sampled)
        x = augment(augment_key, images.x_train[rows], stage.augmentation)
        x, labels = _network_input(x, stage, images, devices), images.y_train[rows]

        def loss_of(params: Params) -> tuple[Array, Array]:
            logits = with_parameters(graph, params)(x, genotype, averages=stage.budget.averages)
            return smoothed_cross_entropy(logits, labels, stage.preset.label_smoothing), logits

        (loss, logits), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        change, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, change)
        top1 = (logits.argmax(-1) == labels).mean()
        return SearchState(params, optimizer_state, state.policy), (loss, top1)

    return update


def _controller_step(stage: JointStage, graph: Any, devices: NamedSharding | None) -> Callable[..., Any]:
    """Return one REINFORCE step: all samples of a step see the same validation images, which cancels their luck."""
    settings, choices, near = stage.controller, stage.choices, _near_target(stage)

    def learn(state: SearchState, images: SearchImages, rows: Array, key: Array) -> tuple[reinforce.Policy, Array]:
        draws, genotypes = near(state.policy, key, settings.samples)
        x, labels = _network_input(images.x_val[rows], stage, images, devices), images.y_val[rows]
        model = with_parameters(graph, state.params)
        top1 = lax.map(lambda genotype: (model(x, genotype).argmax(-1) == labels).mean(), genotypes)
        return reinforce.tell(settings, choices, state.policy, draws, (genotypes, top1)), top1.mean()

    return learn


def _near_target(stage: JointStage) -> Callable[[reinforce.Policy, Array, int], tuple[reinforce.Draws, Array]]:
    """Return the function (policy, key, n) -> what the policy draws, priced, and n [n, D] of that near the target."""
    settings, ratio = stage.controller, priced_by(stage.constraints.latency, stage.constraints.target)
    shares = [
        priced_by(table, bound) for table, bound in (*stage.constraints.limits, *stage.constraints.surrogate_limits)
    ]

    def near(policy: reinforce.Policy, key: Array, count: int) -> tuple[reinforce.Draws, Array]:
        draw_key, pick_key = jax.random.split(key)
        genotypes = reinforce.ask(policy, draw_key, settings.draws)
        excess = sum((jnp.maximum(share(genotypes) - 1, 0) for share in shares), start=jnp.zeros(len(genotypes)))
        draws = reinforce.Draws(genotypes, ratio(genotypes), excess)
        return draws, reinforce.nearest(settings, draws, pick_key, count)

    return near


def _network_input(x: Array, stage: JointStage, images: SearchImages, devices: NamedSharding | None) -> Array:
    x = to_input(x, images.mean, images.std, stage.space.input_shape.channels).astype(compute_dtype())
    return x if devices is None else lax.with_sharding_constraint(x, devices)


def _warm_options(stage: JointStage) -> NDArray[np.int32]:
    """Return the option index of each decision that warms it up: the average of depthwise options, -1 for none.

    TuNAS also warms up sizes, running the largest. Here that left the shallow networks' shared weights behind, and the
    supernet ranked by depth (experiments/ranking_study.py).
    """
    depthwise = [decision.name.endswith(".dw") for decision in stage.space.decisions]
    counts = np.array([len(decision.options) for decision in stage.space.decisions], np.int32)
    return np.where(np.array(depthwise) & stage.budget.averages, counts, -1).astype(np.int32)


def priced_by(table: CostTable, unit: float) -> Callable[[Array], Array]:
    """Return the cost table as a function of genotypes [N, D] inside a compiled program, in multiples of `unit`."""
    terms = [(term.scope, jnp.asarray(term.values / unit, jnp.float32)) for term in table.terms]
    combine: Any = {"sum": jnp.add, "max": jnp.maximum}[table.combiner]

    def score(genotypes: Array) -> Array:
        columns = genotypes.T
        parts = [values[tuple(columns[d] for d in scope)] for scope, values in terms]
        return reduce(combine, parts, jnp.full(len(genotypes), table.constant / unit, jnp.float32))

    return score


def compile_both(
    run_steps: CompiledSteps, args: tuple[SearchState, SearchImages, Array, Array], evaluator: SupernetEvaluator
) -> None:
    """Compile the steps in a thread and the evaluator beside them; calls with such arguments find both compiled."""
    lowered, state = run_steps.lower(*args), args[0]
    with ThreadPoolExecutor(1) as beside:
        steps = beside.submit(lowered.compile)  # without Python's lock, which tracing holds
        evaluator.params = state.params
        evaluator.correct(np.zeros(state.policy.logits.shape[0], np.int32), 1)
        steps.result()
