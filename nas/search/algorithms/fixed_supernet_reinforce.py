"""REINFORCE under a latency constraint as init, ask, tell, on accuracies from a supernet trained before (2008.06120).

The controller of nas/search/algorithms/reinforce.py without its warm-up, as the weights are trained already. One tell
is one controller step. `ask` gives samples of the policy near the target, unrepaired; `chosen` is the argmax of the
policy, projected onto the constraints.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotype, Genotypes, SearchSpace
from nas.search.algorithms import reinforce
from nas.search.constraints.project import project
from nas.search.constraints.repair import Constraints
from nas.search.strategy import Strategy
from nas.space.genotypes import canonical

TRIALS_PER_STEP = 8  # of the controller
BATCH = 2  # candidates per batch that a worker gets


@dataclass(frozen=True)
class FixedSupernetState:
    """The policy, and the seed from which its samples follow."""

    seed: int
    policy: reinforce.Policy


@dataclass(frozen=True)
class PolicyChoice:
    """The answer of a policy: a genotype, whether it satisfies the constraints, and the policy's relative entropy."""

    genotype: Genotype
    satisfied: bool
    entropy: float


@dataclass(frozen=True)
class FixedSupernetReinforce:
    """Minimises the first objective, 1 - top-1, at the latency of `constraints`: `steps` steps of `samples` trials."""

    space: SearchSpace
    constraints: Constraints
    steps: int
    samples: int

    @cached_property
    def settings(self) -> reinforce.Reinforce:
        """The settings of the controller."""
        return reinforce.Reinforce(self.steps, self.samples, policy_warmup_fraction=0.0)

    @cached_property
    def choices(self) -> reinforce.DecisionArrays:
        """The decisions as arrays."""
        return reinforce.DecisionArrays.of(self.space.decisions)

    def init(self, seed: int) -> FixedSupernetState:
        """Return the state with the uniform policy."""
        return FixedSupernetState(seed, reinforce.init(self.settings, self.choices))

    def ask(self, state: FixedSupernetState, count: int) -> Genotypes:
        """Return `count` samples of the policy near the latency target, as [count, D]."""
        draws, key = self._draws(state)
        return np.asarray(self._nearest(draws, key, count), np.int32)

    def tell(
        self, state: FixedSupernetState, genotypes: Genotypes, objectives: NDArray[np.float64]
    ) -> FixedSupernetState:
        """Return the state after one controller step; from a single trial nothing is learnt, for want of a baseline."""
        if len(genotypes) < 2:
            return FixedSupernetState(state.seed, reinforce.skip(state.policy))
        top1 = jnp.asarray(1 - objectives[:, 0], jnp.float32)
        policy = self._tell(state.policy, self._draws(state)[0], (jnp.asarray(genotypes), top1))
        return FixedSupernetState(state.seed, policy)

    def chosen(self, state: FixedSupernetState) -> PolicyChoice:
        """Return the policy's argmax, projected onto the constraints where that is possible."""
        scores = np.asarray(jax.nn.log_softmax(state.policy.logits), np.float64)
        argmax = canonical(self.space.decisions, scores.argmax(1)[None])[0]
        satisfied = project(self.space, argmax.tolist(), scores, self.constraints)
        found = argmax if satisfied is None else canonical(self.space.decisions, np.array([satisfied]))[0]
        entropy = reinforce.entropy(state.policy)
        return PolicyChoice(tuple(found.tolist()), satisfied is not None, entropy)

    def _draws(self, state: FixedSupernetState) -> tuple[reinforce.Draws, jax.Array]:
        """Return the samples of this step with their costs, and the random key by which some of them are picked.

        They follow from the state alone, so `ask` and `tell` see the same.
        """
        key = jax.random.fold_in(jax.random.key(state.seed), state.policy.step)
        draw_key, pick_key = jax.random.split(key)
        sampled = self._ask(state.policy, draw_key)
        genotypes = np.asarray(sampled)
        excess = np.zeros(len(genotypes))
        for table, bound in (*self.constraints.limits, *self.constraints.surrogate_limits):
            excess += np.maximum(table.score(genotypes) / bound - 1, 0)
        ratios = jnp.asarray(self.constraints.ratios(genotypes), jnp.float32)
        return reinforce.Draws(sampled, ratios, jnp.asarray(excess, jnp.float32)), pick_key

    @cached_property
    def _ask(self) -> Any:
        return jax.jit(partial(reinforce.ask, count=self.settings.draws))

    @cached_property
    def _nearest(self) -> Any:
        return jax.jit(partial(reinforce.nearest, self.settings), static_argnums=2)

    @cached_property
    def _tell(self) -> Any:
        return jax.jit(partial(reinforce.tell, self.settings, self.choices))


STRATEGY = Strategy(
    lambda problem: FixedSupernetReinforce(
        problem.space, problem.constraints(), max(1, problem.trials // problem.ask), problem.ask
    ),
    ask=lambda trials: TRIALS_PER_STEP,
    batch=BATCH,
    trials_per_candidate=4,
    projects=True,
)
