"""REINFORCE over independent categoricals with a latency lock, after TuNAS (Bender et al. 2020), arXiv 2008.06120.

Reward R = top-1 - beta * (|T/T0 - 1| + the excess over hard bounds). TuNAS fixes |beta|; a fixed one lands on the
target only where it exceeds the slope of accuracy over log latency. Here beta starts small and grows while the latency
that the policy draws is off the target by more than 1 %, up to a cap: beta settles where the target is met. Constants
that the paper gives for tens of thousands of steps are scaled to the length of the run.

Where the paper evaluates what it samples, a step here draws many architectures and uses them twice. The cost tables
price all of them, so the gradient of the cost term is nearly free of noise. Of those near the target a few are
evaluated, on the same images, and compared with each other: what a policy confined to the target would learn from
accuracy. Both are REINFORCE with the mean of the step as its baseline.
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
    """Constants of one run of `steps` controller steps in which `samples` architectures each are evaluated."""

    steps: int
    samples: int
    policy_warmup_fraction: float = 0.25  # of the steps: the policy stays uniform, the weights warm up
    draws: int = 1024  # architectures per step that the cost tables price
    nearness: float = (
        0.01  # width of the normal weight, in gaps from the goal, by which draws are picked for evaluation
    )
    rate_sum: float = 40.0  # of the learning rate over the run
    rate_growth: float = 10.0  # from the first active step to the last
    beta_start: float = 0.07
    beta_cap: float = 2.0
    lock_tolerance: float = 0.01

    @property
    def policy_warmup_steps(self) -> int:
        """Controller steps before the policy starts to learn."""
        return int(self.policy_warmup_fraction * self.steps)

    def rate(self, step: Array) -> Array:
        """Learning rate at `step`: 0 while idle, then growing exponentially; its sum over the run is `rate_sum`."""
        active = max(1, self.steps - self.policy_warmup_steps)
        powers = self.rate_growth ** (np.arange(active) / active)
        progress = (step - self.policy_warmup_steps) / active
        return jnp.where(progress < 0, 0.0, self.rate_sum / powers.sum() * self.rate_growth**progress)

    @property
    def beta_growth(self) -> float:
        """Factor per step that takes beta from its start to its cap in a third of the run."""
        return float((self.beta_cap / self.beta_start) ** (3 / max(3, self.steps)))

    def decay(self, longest: float) -> float:
        """Decay of a moving average: `longest` in long runs, shorter where the run has few steps."""
        return min(longest, 1 - min(0.5, 20 / self.steps))


class Policy(NamedTuple):
    """State of the controller. The average is a sum with its weight, so that it starts without bias."""

    logits: Array  # [D, O], -inf where a decision has fewer options
    adam: Any
    step: Array
    latency: Array  # [2] sum and weight of the moving average of drawn latency over target
    beta: Array


class Draws(NamedTuple):
    """What a policy drew in one step, priced by the cost tables."""

    genotypes: Array  # [M, D]
    ratios: Array  # [M] latency over target
    excess: Array  # [M] summed relative amounts by which hard bounds are exceeded

    @property
    def gaps(self) -> Array:
        """How far each is from keeping the goal [M]."""
        return jnp.abs(self.ratios - 1) + self.excess


@dataclass(frozen=True)
class Choices:
    """The decisions of a space as arrays: which options exist [D, O], and what each decision needs to count."""

    exists: NDArray[np.bool_]
    condition_index: NDArray[np.int32]
    condition_option: NDArray[np.int32]

    @classmethod
    def of(cls, decisions: tuple[Decision, ...]) -> "Choices":
        """Return the arrays for `decisions`."""
        width = max(len(decision.options) for decision in decisions)
        exists = np.array([[o < len(decision.options) for o in range(width)] for decision in decisions])
        condition = np.array([decision.condition or (0, 0) for decision in decisions], np.int32)
        return cls(exists, condition[:, 0], condition[:, 1])

    def active(self, genotypes: Array) -> Array:
        """Return which decisions count in genotypes [N, D], as [N, D]."""
        return genotypes[:, self.condition_index] >= self.condition_option


def init(settings: Reinforce, choices: Choices) -> Policy:
    """Return the uniform policy."""
    logits = np.where(choices.exists, 0.0, -np.inf).astype(np.float32)
    adam = jax.jit(_adam().init)(np.zeros_like(logits))
    scalars = np.int32(0), np.zeros(2, np.float32), np.float32(settings.beta_start)
    return Policy(*jax.device_put((logits, adam, *scalars)))


@partial(jax.jit, static_argnames="count")
def ask(policy: Policy, key: Array, count: int) -> Array:
    """Return `count` genotypes [count, D] drawn from the policy."""
    shape = (count, policy.logits.shape[0])
    return jax.random.categorical(key, policy.logits, shape=shape).astype(jnp.int32)


def nearest(settings: Reinforce, draws: Draws, key: Array, count: int) -> Array:
    """Return `count` of the draws as genotypes [count, D], the likelier to be picked the nearer they are to the goal.

    No draw is picked twice (Gumbel top-k), equal draws may be; where none is near, the nearest there are.
    """
    weights = -0.5 * (draws.gaps / settings.nearness) ** 2
    return draws.genotypes[lax.top_k(weights + jax.random.gumbel(key, weights.shape), count)[1]]


def tell(settings: Reinforce, choices: Choices, policy: Policy, draws: Draws, evaluated: tuple[Array, Array]) -> Policy:
    """Return the policy after one step of learning; `skip` is the step of the idle phase.

    `evaluated` are genotypes [N, D], N > 1, and their top-1 [N] as fractions, all on the same images.
    """
    genotypes, top1 = evaluated
    accuracy = _ascent(choices, policy, genotypes, top1)
    cost = _ascent(choices, policy, draws.genotypes, -policy.beta * draws.gaps)
    update, adam = _adam().update(-(accuracy + cost), policy.adam)
    logits = jnp.where(choices.exists, policy.logits - settings.rate(policy.step) * update, -jnp.inf)
    latency = _average(policy.latency, draws.ratios.mean(), settings.decay(0.98))
    off = jnp.abs(latency[0] / latency[1] - 1) > settings.lock_tolerance
    grown = jnp.minimum(policy.beta * settings.beta_growth, settings.beta_cap)
    return Policy(logits, adam, policy.step + 1, latency, jnp.where(off, grown, policy.beta))


def _ascent(choices: Choices, policy: Policy, genotypes: Array, rewards: Array) -> Array:
    """Return the REINFORCE estimate [D, O] of the expected reward's gradient from samples [N, D] and rewards [N].

    The baseline of each sample is the mean of the others, which leaves the estimate unbiased.
    """
    count = len(genotypes)
    advantage = (rewards - rewards.mean()) * count / (count - 1)
    chosen = jax.nn.one_hot(genotypes, policy.logits.shape[1]) - jax.nn.softmax(policy.logits)
    active = choices.active(genotypes)[:, :, None]
    return (advantage[:, None, None] * active * chosen).mean(0)


def skip(policy: Policy) -> Policy:
    """Return the policy after an idle step: unchanged, one step later."""
    return policy._replace(step=policy.step + 1)


def _adam() -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=0.0, b2=0.999)


def _average(average: Array, value: Array, decay: float) -> Array:
    """Return the [sum, weight] of a moving average after `value`; sum / weight has no bias towards zero."""
    return average * decay + (1 - decay) * jnp.stack([value, jnp.ones_like(value)])


def probabilities(policy: Policy) -> NDArray[np.float32]:
    """Return the probability [D, O] of every option."""
    logits = np.asarray(policy.logits)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def entropy(policy: Policy) -> float:
    """Return the policy's entropy, the mean over decisions, as a fraction of the uniform policy's."""
    odds = probabilities(policy)
    logs = np.log(odds, out=np.zeros_like(odds), where=odds > 0)
    options = np.isfinite(policy.logits).sum(1)
    return float((-(odds * logs).sum(1) / np.log(options)).mean())
