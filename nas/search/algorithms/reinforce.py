"""REINFORCE over independent categoricals under a latency constraint, after TuNAS (Bender et al. 2020), 2008.06120.

Reward R = top-1 - beta * (|T / T0 - 1| + excess over hard bounds), with latency T and target T0. TuNAS fixes beta, and
a fixed beta holds the policy at the target only where it exceeds the slope of accuracy over log latency. Here beta is
adapted: it starts small and grows while the latency that the policy samples is off the target by more than 1 %, up to
a cap, so that it settles where the target is met. Constants that the paper gives for tens of thousands of steps are
scaled to the length of the run.

Where the paper evaluates what it samples, a step here samples many architectures and uses them twice:

1. The cost tables price all of them, so the gradient of the cost term is nearly free of noise, at no evaluation.
2. Of those near the target a few are evaluated, all on the same images, and compared with each other: what a policy
   confined to the target would learn from accuracy.

Both gradients are REINFORCE with a leave-one-out baseline; their sum goes through Adam without momentum.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax
from numpy.typing import NDArray

from nas.protocols import Decision


@dataclass(frozen=True)
class Reinforce:
    """Settings of the controller for a run of `steps` steps, each of which evaluates `samples` architectures."""

    steps: int
    samples: int
    policy_warmup_fraction: float = 0.25  # of the steps, at first: the policy stays uniform while the weights warm up
    draws: int = 1024  # architectures per step that the policy samples and the cost tables price
    nearness: float = 0.01  # deviation of the Gaussian weight, in relative gaps, by which draws are picked
    learning_rate_sum: float = 40.0  # over all steps of the run
    learning_rate_growth: float = 10.0  # from the first step after the warm-up to the last
    beta_start: float = 0.07
    beta_cap: float = 2.0
    latency_tolerance: float = 0.01  # relative: beyond, beta grows

    @property
    def policy_warmup_steps(self) -> int:
        """Controller steps before the policy starts to learn."""
        return int(self.policy_warmup_fraction * self.steps)

    def learning_rate(self, step: Array) -> Array:
        """Return the learning rate at `step`: 0 in the warm-up, then growing exponentially.

        Its sum over the run is `learning_rate_sum` however long the run is: Adam's updates are of size 1, so this is
        about how far a logit can travel.
        """
        active = max(1, self.steps - self.policy_warmup_steps)
        powers = self.learning_rate_growth ** (np.arange(active) / active)
        progress = (step - self.policy_warmup_steps) / active
        rates = self.learning_rate_sum / powers.sum() * self.learning_rate_growth**progress
        return jnp.where(progress < 0, 0.0, rates)

    @property
    def beta_growth(self) -> float:
        """Factor per step with which beta goes from its start to its cap in a third of the run."""
        return float((self.beta_cap / self.beta_start) ** (3 / max(3, self.steps)))

    def decay(self, longest: float) -> float:
        """Return the decay of a moving average: `longest` in long runs, smaller in runs of few steps."""
        return min(longest, 1 - min(0.5, 20 / self.steps))


class Policy(NamedTuple):
    """The controller's state: logits of the policy, its optimizer, and the penalty weight beta with what drives it."""

    logits: Array  # [D, O], -inf where a decision has fewer options
    adam: Any
    step: Array
    latency: Array  # [2] moving average of sampled latency over target: weighted sum, and sum of weights
    beta: Array  # weight of the cost term in the reward


class Draws(NamedTuple):
    """The architectures that a policy samples in one step, M of them, with their costs from the cost tables."""

    genotypes: Array  # [M, D]
    ratios: Array  # [M] latency over target
    excess: Array  # [M] summed relative amounts by which hard bounds are exceeded

    @property
    def gaps(self) -> Array:
        """Relative distance of each from the latency target, with its excess over the bounds [M]."""
        return jnp.abs(self.ratios - 1) + self.excess


@dataclass(frozen=True)
class DecisionArrays:
    """The decisions of a space as arrays, for compiled code; see `Decision` for the condition of each."""

    exists: NDArray[np.bool_]  # [D, O] which options there are
    condition_index: NDArray[np.int32]  # [D] the decision on which each depends
    condition_option: NDArray[np.int32]  # [D] the option there from which it is active; 0 for always

    @classmethod
    def of(cls, decisions: tuple[Decision, ...]) -> "DecisionArrays":
        """Return the arrays for `decisions`."""
        width = max(len(decision.options) for decision in decisions)
        exists = np.array([[o < len(decision.options) for o in range(width)] for decision in decisions])
        condition = np.array([decision.condition or (0, 0) for decision in decisions], np.int32)
        return cls(exists, condition[:, 0], condition[:, 1])

    def active(self, genotypes: Array) -> Array:
        """Return which decisions are active in genotypes [N, D], as [N, D]."""
        return genotypes[:, self.condition_index] >= self.condition_option


def init(settings: Reinforce, choices: DecisionArrays) -> Policy:
    """Return the uniform policy."""
    logits = np.where(choices.exists, 0.0, -np.inf).astype(np.float32)
    adam = jax.jit(_adam().init)(np.zeros_like(logits))
    scalars = np.int32(0), np.zeros(2, np.float32), np.float32(settings.beta_start)
    return Policy(*jax.device_put((logits, adam, *scalars)))


@partial(jax.jit, static_argnames="count")
def ask(policy: Policy, key: Array, count: int) -> Array:
    """Return `count` genotypes [count, D] sampled from the policy."""
    shape = (count, policy.logits.shape[0])
    return jax.random.categorical(key, policy.logits, shape=shape).astype(jnp.int32)


def nearest(settings: Reinforce, draws: Draws, key: Array, count: int) -> Array:
    """Return `count` of the draws as genotypes [count, D], picked with a probability that falls with their gap.

    Without replacement, though equal draws may be picked; where none is near the target, the nearest there are.
    """
    # The largest of log-weights with Gumbel noise are a sample without replacement (Gumbel top-k, arXiv 1903.06059).
    weights = -0.5 * (draws.gaps / settings.nearness) ** 2
    return draws.genotypes[lax.top_k(weights + jax.random.gumbel(key, weights.shape), count)[1]]


def tell(
    settings: Reinforce, choices: DecisionArrays, policy: Policy, draws: Draws, evaluated: tuple[Array, Array]
) -> Policy:
    """Return the policy after one step of learning; in the warm-up `skip` takes its place.

    `evaluated` are genotypes [N, D], N > 1, and their top-1 [N] as fractions, all on the same images.
    """
    genotypes, top1 = evaluated
    # Gradient of the reward: accuracy from the few evaluated architectures, cost from all draws.
    accuracy = _policy_gradient(choices, policy, genotypes, top1)
    cost = _policy_gradient(choices, policy, draws.genotypes, -policy.beta * draws.gaps)
    update, adam = _adam().update(-(accuracy + cost), policy.adam)
    logits = jnp.where(choices.exists, policy.logits - settings.learning_rate(policy.step) * update, -jnp.inf)
    # The penalty grows while the average latency of the policy is off the target, on either side.
    latency = _moving_average(policy.latency, draws.ratios.mean(), settings.decay(0.98))
    off = jnp.abs(latency[0] / latency[1] - 1) > settings.latency_tolerance
    grown = jnp.minimum(policy.beta * settings.beta_growth, settings.beta_cap)
    return Policy(logits, adam, policy.step + 1, latency, jnp.where(off, grown, policy.beta))


def _policy_gradient(choices: DecisionArrays, policy: Policy, genotypes: Array, rewards: Array) -> Array:
    """Return the REINFORCE estimate [D, O] of the expected reward's gradient from samples [N, D] and rewards [N].

    The baseline of each sample is the mean reward of the others, which leaves the estimate unbiased.
    """
    count = len(genotypes)
    # r_i less the mean of the others = (r_i less the mean of all) * N / (N - 1)
    advantage = (rewards - rewards.mean()) * count / (count - 1)
    # Gradient of log p(option) with respect to the logits of a decision: one-hot less probabilities.
    score = jax.nn.one_hot(genotypes, policy.logits.shape[1]) - jax.nn.softmax(policy.logits)
    # An inactive decision changes nothing, so what a sample took there says nothing about its reward.
    active = choices.active(genotypes)[:, :, None]
    return (advantage[:, None, None] * active * score).mean(0)


def skip(policy: Policy) -> Policy:
    """Return the policy after a step of the warm-up: unchanged, one step later."""
    return policy._replace(step=policy.step + 1)


def _adam() -> optax.GradientTransformation:
    """Return Adam without momentum, as in TuNAS: each logit's gradient over its root mean square."""
    return optax.scale_by_adam(b1=0.0, b2=0.999)


def _moving_average(average: Array, value: Array, decay: float) -> Array:
    """Return the [sum, weight] of an exponential moving average after `value`; sum / weight starts without bias."""
    return average * decay + (1 - decay) * jnp.stack([value, jnp.ones_like(value)])


def probabilities(policy: Policy) -> NDArray[np.float32]:
    """Return the probability [D, O] of every option."""
    logits = np.asarray(policy.logits)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def entropy(policy: Policy) -> float:
    """Return the policy's entropy over that of the uniform policy, the mean over decisions: 1 uniform, 0 decided."""
    odds = probabilities(policy)
    logs = np.log(odds, out=np.zeros_like(odds), where=odds > 0)
    options = np.isfinite(policy.logits).sum(1)
    return float((-(odds * logs).sum(1) / np.log(options)).mean())
