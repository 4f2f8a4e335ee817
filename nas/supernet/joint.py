"""Joint training of shared weights and of a policy over architectures, after TuNAS (arXiv 2008.06120): one stage.

A controller step is:

1. `updates` steps of the shared weights on training images, each for one architecture that the policy samples near the
   latency constraint (`_weight_update`);
2. one REINFORCE step of the policy: rewards are accuracies on validation images under the shared weights, and the cost
   tables add the latency (`_controller_step`, `nas.search.algorithms.reinforce`).

During the policy warm-up, a quarter of the steps by default, the second part is left out and the policy stays uniform.
Then averaged decisions, the depthwise ones of UIB blocks, are warmed up too: with a probability that falls from 1 to 0,
one runs the average of its options instead of one of them, so that all of them get gradients.

Everything is a pure function of a `SearchState`, and randomness comes from (seed, step): a stage that resumes from a
checkpoint ends with the same bytes. One dispatch runs many steps.
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

from nas.data import Augmentation
from nas.search.algorithms import reinforce
from nas.search.constraints.repair import Constraints
from nas.space.cost_table import CostTable
from nas.space.staged import StagedSpace
from nas.supernet.evaluator import SearchImages, SupernetEvaluator
from nas.supernet.presets import Preset, StageBudget
from nas.supernet.rounding import in_int8
from nas.supernet.supernet import Params, Supernet, with_parameters
from nas.tasks import CLASSIFICATION, Task, loss_of_batch, reward_of_batch, score_of_batch
from nas.training.devices import copy_arrays
from nas.training.optimizers import make_optimizer


class SearchState(NamedTuple):
    """The state that a stage carries from one step to the next: shared weights, their optimizer, the policy."""

    params: Params
    optimizer: Any
    policy: reinforce.Policy


class StepMetrics(NamedTuple):
    """Metrics of one controller step, each a mean over its weight updates or over its rewards.

    For a task without classes its score stands in the place of top-1.
    """

    loss: Array  # of a classification in nats; on training images
    train_top1: Array
    reward_top1: Array  # on validation images; NaN during the policy warm-up


@dataclass(frozen=True)
class JointStage:
    """Settings of one stage: the space of proxies that is trained, the constraints on target networks, its length."""

    name: str
    number: int  # separates the random numbers of the stages
    space: StagedSpace  # of proxies
    constraints: Constraints  # over the same decisions, for the target networks
    budget: StageBudget
    preset: Preset
    augmentation: Augmentation
    seed: int
    class_weights: tuple[float, ...] = ()  # of the loss of the shared weights
    task: Task = CLASSIFICATION
    int8: bool = False  # rewards are accuracies in int8

    @property
    def own_task(self) -> Task:
        """The task with the settings of this stage's loss."""
        return self.task.configured(self.preset.label_smoothing, self.class_weights)

    @property
    def controller(self) -> reinforce.Reinforce:
        """The controller's constants for this stage's length."""
        return reinforce.Reinforce(self.budget.steps, self.budget.samples, self.budget.policy_warmup_fraction)

    @property
    def choices(self) -> reinforce.DecisionArrays:
        """The decisions of the space as arrays."""
        return reinforce.DecisionArrays.of(self.space.decisions)

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """The optimizer of the shared weights, its schedule over all their updates."""
        updates = self.budget.steps * self.budget.updates
        return make_optimizer(self.preset.optimizer, updates, self.preset.warmup_fraction)


def init_state(stage: JointStage, params: Params) -> SearchState:
    """Return the state before the first step, from fresh or inherited weights `params`."""
    optimizer = jax.jit(stage.optimizer.init, compiler_options=stage.preset.compiler_options)(params)
    state = SearchState(params, optimizer, reinforce.init(stage.controller, stage.choices))
    return SearchState(*copy_arrays(tuple(state)))  # the steps donate every buffer


class CompiledSteps(Protocol):
    """The jitted function that runs controller steps; see `compile_steps`."""

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
        keys = _keys_of_step(stage, state.policy.step)  # the first is the controller's
        state, (loss, top1) = lax.scan(lambda s, xs: update(s, images, *xs), state, (rows[0], keys[1:]))
        # The condition is a value of the state, not a Python number: one program serves both phases, and no rewards
        # are evaluated while the policy warms up.
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


def _keys_of_step(stage: JointStage, step: Array) -> Array:
    """Return the keys [1 + updates] of a controller step: its own, then those of the updates of the weights.

    They follow from the step's number alone, so that no generator has to be stored in a checkpoint.
    """
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(stage.seed), stage.number), step)
    return jax.random.split(key, stage.budget.updates + 1)


def _keys_of_update(key: Array) -> Array:
    """Return the three keys of an update of the weights: of the sample, of warm-up, and of augmentation."""
    return jax.random.split(key, 3)


def augmentation_keys(stage: JointStage, first: int, count: int) -> Array:
    """Return the keys [count, updates] by which the batches of `count` steps from step `first` on are augmented."""

    def of_step(step: Array) -> Array:
        return jax.vmap(lambda key: _keys_of_update(key)[2])(_keys_of_step(stage, step)[1:])

    return jax.vmap(of_step)(first + jnp.arange(count, dtype=jnp.int32))


def _weight_update(stage: JointStage, graph: Any, devices: NamedSharding | None) -> Callable[..., Any]:
    """Return one step of the shared weights, (state, images, rows [batch], key) -> (state, (loss, top-1))."""
    optimizer, average_option, sample = stage.optimizer, _average_options(stage), _sampler_near_target(stage)
    task = stage.own_task
    warmup_steps = max(1, stage.controller.policy_warmup_steps)

    def update(
        state: SearchState, images: SearchImages, rows: Array, key: Array
    ) -> tuple[SearchState, tuple[Array, Array]]:
        sample_key, coin_key, augment_key = _keys_of_update(key)
        sampled = sample(state.policy, sample_key, 1)[1][0]
        # Warm-up: a coin per decision, whose probability falls linearly to 0 over the policy warm-up, replaces a
        # sampled depthwise option by the average of all options. Other decisions have no average (-1).
        warm_share = jnp.clip(1 - state.policy.step / warmup_steps, 0, 1)
        warmed = jax.random.bernoulli(coin_key, warm_share, sampled.shape)
        genotype = jnp.where(warmed & (average_option >= 0), average_option, sampled)
        x, labels, soft = images.batch(augment_key, rows, stage.augmentation, stage.space)
        x = _sharded(x, devices)

        def loss_of(params: Params) -> tuple[Array, Array]:
            logits = with_parameters(graph, params)(x, genotype, averages=stage.budget.averages)
            return loss_of_batch(task, logits, labels, soft), logits

        # Weights that this architecture does not use get a gradient of 0; momentum and decay still move them.
        (loss, logits), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        change, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, change)
        top1 = score_of_batch(task, logits, labels)
        return SearchState(params, optimizer_state, state.policy), (loss, top1)

    return update


def _controller_step(stage: JointStage, graph: Any, devices: NamedSharding | None) -> Callable[..., Any]:
    """Return one REINFORCE step, (state, images, rows [reward_batch], key) -> (policy, mean reward top-1)."""
    settings, choices, sample = stage.controller, stage.choices, _sampler_near_target(stage)
    task = stage.own_task

    def learn(state: SearchState, images: SearchImages, rows: Array, key: Array) -> tuple[reinforce.Policy, Array]:
        draws, genotypes = sample(state.policy, key, settings.samples)
        # All samples of a step see the same images: how hard these are cancels against the mean of the step, which is
        # the baseline of REINFORCE.
        x, labels = _sharded(images.inputs(images.x_val[rows], stage.space), devices), images.y_val[rows]
        model = with_parameters(graph, state.params)
        # A map, not a vmap: under vmap every switch and condition of the supernet would run all of its branches.
        with in_int8(stage.int8):
            top1 = lax.map(lambda genotype: reward_of_batch(task, model(x, genotype), labels), genotypes)
        return reinforce.tell(settings, choices, state.policy, draws, (genotypes, top1)), top1.mean()

    return learn


def _sampler_near_target(stage: JointStage) -> Callable[[reinforce.Policy, Array, int], tuple[reinforce.Draws, Array]]:
    """Return the function (policy, key, n) -> (samples of the policy with their costs, n of them [n, D]).

    The policy is sampled many times, which costs table lookups only, and the n are picked among those near the latency
    constraint: shared weights are trained and compared where the search will choose.
    """
    settings, latency_ratio = stage.controller, compiled_cost(stage.constraints.latency, stage.constraints.target)
    # Every other bound as a function too, 1 at the bound: those on tables, and stand-ins for those on predictions.
    bounds = (*stage.constraints.limits, *stage.constraints.surrogate_limits)
    shares = [compiled_cost(table, bound) for table, bound in bounds]

    def sample(policy: reinforce.Policy, key: Array, count: int) -> tuple[reinforce.Draws, Array]:
        draw_key, pick_key = jax.random.split(key)
        genotypes = reinforce.ask(policy, draw_key, settings.draws)
        excess = sum((jnp.maximum(share(genotypes) - 1, 0) for share in shares), start=jnp.zeros(len(genotypes)))
        draws = reinforce.Draws(genotypes, latency_ratio(genotypes), excess)
        return draws, reinforce.nearest(settings, draws, pick_key, count)

    return sample


def _sharded(x: Array, devices: NamedSharding | None) -> Array:
    """Return an input of the network, sharded over `devices` along the batch."""
    return x if devices is None else lax.with_sharding_constraint(x, devices)


def _average_options(stage: JointStage) -> NDArray[np.int32]:
    """Return, for each decision [D], the index that stands for the average of its options; -1 where it has none.

    Decisions that are averaged have one, beyond their options, where the stage is compiled with averages. TuNAS also
    warms up sizes, running the largest. Here that left the shallow networks' shared weights behind, and the supernet
    ranked by depth (experiments/ranking_study.py).
    """
    averaged = [decision.averaged for decision in stage.space.decisions]
    counts = np.array([len(decision.options) for decision in stage.space.decisions], np.int32)
    return np.where(np.array(averaged) & stage.budget.averages, counts, -1).astype(np.int32)


def compiled_cost(table: CostTable, unit: float) -> Callable[[Array], Array]:
    """Return `table.score` for use inside a compiled program: genotypes [N, D] -> costs [N], in multiples of `unit`."""
    # The division by the unit happens on the host, in double precision; on the device all is float32.
    terms = [(term.scope, jnp.asarray(term.values / unit, jnp.float32)) for term in table.terms]
    combine: Any = {"sum": jnp.add, "max": jnp.maximum}[table.combiner]

    def score(genotypes: Array) -> Array:
        columns = genotypes.T
        # A term is an array with an axis per decision that it depends on: index it by those decisions' columns.
        costs = [values[tuple(columns[index] for index in scope)] for scope, values in terms]
        return reduce(combine, costs, jnp.full(len(genotypes), table.constant / unit, jnp.float32))

    return score


def compile_with_evaluator(
    run_steps: CompiledSteps, args: tuple[SearchState, SearchImages, Array, Array], evaluator: SupernetEvaluator
) -> None:
    """Compile the steps in a thread and, at the same time, the evaluator; later calls find both compiled.

    `args` are arguments of the shapes that the steps will be called with. `evaluator` gets the state's weights.
    """
    lowered, state = run_steps.lower(*args), args[0]
    thread = ThreadPoolExecutor(1)
    try:
        # XLA compiles without holding Python's lock, so the evaluator can be traced meanwhile, which needs the lock.
        steps = thread.submit(lowered.compile)
        evaluator.params = state.params
        evaluator.correct(np.zeros(state.policy.logits.shape[0], np.int32), 1)
        steps.result()
    finally:
        thread.shutdown(wait=False)  # after Ctrl-C there is no reason to wait until all is compiled
