"""REINFORCE over independent categoricals with a latency lock, after TuNAS (Bender et al. 2020), arXiv 2008.06120.

Reward R = top-1 - beta * |T/T0 - 1| - beta * sum(excess over each hard bound). TuNAS fixes |beta|; a fixed one lands on
the target only where it exceeds the slope of accuracy over log latency. Here beta starts small and grows while the
latency that the policy samples is off the target by more than 1 %, up to a cap: beta settles where the target is met.
Constants that the paper gives for tens of thousands of steps are scaled to the length of the run.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray

from nas.protocols import Decision


@dataclass(frozen=True)
class Reinforce:
    """Constants of one run of `steps` controller steps with `samples` architectures each."""

    steps: int
    samples: int
    idle_fraction: float = 0.25  # of the steps: the policy stays uniform, the weights warm up
    rate_sum: float = 80.0  # of the learning rate over the run
    rate_growth: float = 10.0  # from the first active step to the last
    beta_start: float = 0.07
    beta_cap: float = 2.0
    lock_tolerance: float = 0.01

    @property
    def idle_steps(self) -> int:
        """Controller steps before the policy starts to learn."""
        return int(self.idle_fraction * self.steps)

    def rate(self, step: Array) -> Array:
        """Learning rate at `step`: 0 while idle, then growing exponentially; its sum over the run is `rate_sum`."""
        active = max(1, self.steps - self.idle_steps)
        powers = self.rate_growth ** (np.arange(active) / active)
        progress = (step - self.idle_steps) / active
        return jnp.where(progress < 0, 0.0, self.rate_sum / powers.sum() * self.rate_growth**progress)

    @property
    def beta_growth(self) -> float:
        """Factor per step that takes beta from its start to its cap in a third of the run."""
        return float((self.beta_cap / self.beta_start) ** (3 / max(3, self.steps)))

    def decay(self, longest: float) -> float:
        """Decay of a moving average: `longest` in long runs, shorter where the run has few steps."""
        return min(longest, 1 - min(0.5, 20 / self.steps))


class Policy(NamedTuple):
    """State of the controller. Averages are sums with their weights, so that they start without bias."""

    logits: Array  # [D, O], -inf where a decision has fewer options
    adam: Any
    step: Array
    baseline: Array  # [2] sum and weight of the reward's moving average
    latency: Array  # [2] the same for the sampled latency over the target
    beta: Array


@dataclass(frozen=True)
class Choices:
    """The decisions of a space as arrays: which options exist [D, O], and what each decision needs to count."""

    exists: NDArray[np.bool_]
    needs_gene: NDArray[np.int32]
    needs_option: NDArray[np.int32]

    @classmethod
    def of(cls, decisions: tuple[Decision, ...]) -> "Choices":
        """Return the arrays for `decisions`."""
        width = max(len(decision.options) for decision in decisions)
        exists = np.array([[o < len(decision.options) for o in range(width)] for decision in decisions])
        needs = np.array([decision.needs or (0, 0) for decision in decisions], np.int32)
        return cls(exists, needs[:, 0], needs[:, 1])

    def active(self, genotypes: Array) -> Array:
        """Return which decisions count in genotypes [N, D], as [N, D]."""
        return genotypes[:, self.needs_gene] >= self.needs_option


def init(settings: Reinforce, choices: Choices) -> Policy:
    """Return the uniform policy."""
    logits = jnp.where(choices.exists, 0.0, -jnp.inf).astype(jnp.float32)
    adam = _adam().init(jnp.zeros_like(logits))
    zeros = jnp.zeros(2)
    return Policy(logits, adam, jnp.zeros((), jnp.int32), zeros, zeros, jnp.asarray(settings.beta_start))


def ask(policy: Policy, key: Array, count: int) -> Array:
    """Return `count` genotypes [count, D] drawn from the policy."""
    shape = (count, policy.logits.shape[0])
    return jax.random.categorical(key, policy.logits, shape=shape).astype(jnp.int32)


def tell(
    settings: Reinforce, choices: Choices, policy: Policy, genotypes: Array, top1: Array, ratios: Array, excess: Array
) -> tuple[Policy, Array]:
    """Return the policy after one step of learning, and the rewards [N]; `skip` is the step of the idle phase.

    `genotypes` [N, D], `top1` [N] as fractions, `ratios` [N] latency over target, `excess` [N] the summed relative
    amounts by which hard bounds are exceeded.
    """
    rewards = top1 - policy.beta * (jnp.abs(ratios - 1) + excess)
    baseline = _average(policy.baseline, rewards.mean(), settings.decay(0.95))
    probabilities = jax.nn.softmax(policy.logits)
    chosen = jax.nn.one_hot(genotypes, policy.logits.shape[1])
    counts = choices.active(genotypes)[:, :, None]
    advantage = (rewards - baseline[0] / baseline[1])[:, None, None]
    gradient = -(advantage * counts * (chosen - probabilities)).mean(0)
    update, adam = _adam().update(gradient, policy.adam)
    logits = jnp.where(choices.exists, policy.logits - settings.rate(policy.step) * update, -jnp.inf)
    latency = _average(policy.latency, ratios.mean(), settings.decay(0.98))
    off = jnp.abs(latency[0] / latency[1] - 1) > settings.lock_tolerance
    grown = jnp.minimum(policy.beta * settings.beta_growth, settings.beta_cap)
    beta = jnp.where(off, grown, policy.beta)
    return Policy(logits, adam, policy.step + 1, baseline, latency, beta), rewards


def skip(policy: Policy) -> Policy:
    """Return the policy after an idle step: unchanged, one step later."""
    return policy._replace(step=policy.step + 1)


def _adam() -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=0.0, b2=0.999)


def _average(average: Array, value: Array, decay: float) -> Array:
    """Return the [sum, weight] of a moving average after `value`; sum / weight has no bias towards zero."""
    return average * decay + (1 - decay) * jnp.stack([value, jnp.ones_like(value)])


def entropy(policy: Policy) -> Array:
    """Return the policy's entropy, the mean over decisions, as a fraction of the uniform policy's."""
    probabilities = jax.nn.softmax(policy.logits)
    logs = jnp.where(probabilities > 0, jnp.log(jnp.maximum(probabilities, 1e-30)), 0.0)
    options = jnp.isfinite(policy.logits).sum(1)
    return (-(probabilities * logs).sum(1) / jnp.log(options)).mean()
