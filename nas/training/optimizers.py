"""Optimizers of all trainings, as frozen settings that build optax transformations, and their cosine schedule.

Parameters are any tree of arrays whose last key ends in the tensor's name (`weight`, `scale`, `bias`, `gamma`), such as
the flat dictionary "2.0.expand.weight" -> array of a stand-alone network.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array

from nas.errors import InvalidInput

Params = Any  # a tree of arrays
DECAYED = "weight"  # the one tensor name that weight decay acts on: kernels, never norms, biases or layer scales


class OptimizerConfig(Protocol):
    """Settings of an optimizer, which build its optax transformation."""

    @property
    def learning_rate(self) -> float: ...
    def build(self, schedule: optax.Schedule) -> optax.GradientTransformation: ...


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (arXiv 1711.05101): the default, robust over short runs."""

    learning_rate: float = 4e-3  # the peak
    weight_decay: float = 0.02
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def build(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        """Return the transformation with the learning rate of `schedule`."""
        return optax.adamw(schedule, self.beta1, self.beta2, self.eps, weight_decay=self.weight_decay, mask=decay_mask)


@dataclass(frozen=True)
class RMSProp:
    """RMSProp with momentum as MnasNet, MobileNetV3 and TuNAS use it; `for_batch` scales the published rate.

    Epsilon 1.0 stands inside the root and the mean square starts at 1, as in TensorFlow; decay is an L2 gradient.
    """

    learning_rate: float = 0.165  # the peak
    weight_decay: float = 4e-5
    decay: float = 0.9
    momentum: float = 0.9
    eps: float = 1.0

    @classmethod
    def for_batch(cls, batch_size: int) -> "RMSProp":
        """Return the published settings for images per step: learning rate 0.165 * batch_size / 256."""
        return cls(learning_rate=0.165 * batch_size / 256)

    def build(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        """Return the transformation with the learning rate of `schedule`."""
        return optax.chain(
            optax.add_decayed_weights(self.weight_decay, decay_mask),
            optax.rmsprop(schedule, self.decay, self.eps, initial_scale=1.0, momentum=self.momentum),
        )


def decay_mask(params: Params) -> Any:
    """Return a tree like `params` that is True where weight decay acts: on tensors named `weight`."""

    def is_weight(path: tuple[Any, ...], _: Array) -> bool:
        last = path[-1]
        name = str(getattr(last, "key", getattr(last, "name", last)))
        return name.rpartition(".")[2] == DECAYED

    return jax.tree_util.tree_map_with_path(is_weight, params)


def cosine_schedule(peak: float, steps: int, warmup_fraction: float = 0.0, final: float = 0.0) -> optax.Schedule:
    """Return the learning rate by step: linear warm-up over a fraction of `steps`, then a cosine to the end.

    It ends at the share `final` of the peak.
    """
    if steps < 1 or not 0 <= warmup_fraction < 1:
        raise InvalidInput(
            f"a schedule needs at least 1 step and a warm-up fraction in [0, 1), got {steps} and {warmup_fraction}"
        )
    warmup = math.ceil(warmup_fraction * steps)

    def rate(step: Array | int) -> Array:
        at = jnp.asarray(step, jnp.float32)
        up = (at + 1) / max(warmup, 1)
        down = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip((at - warmup) / max(steps - warmup, 1), 0, 1)))
        if final:
            down = final + (1 - final) * down
        return peak * jnp.where(at < warmup, up, down)

    return rate


def make_optimizer(
    config: OptimizerConfig, steps: int, warmup_fraction: float = 0.0, final: float = 0.0
) -> optax.GradientTransformation:
    """Return the optimizer with a cosine schedule over `steps`, down to a share `final` of its peak."""
    return config.build(cosine_schedule(config.learning_rate, steps, warmup_fraction, final))
