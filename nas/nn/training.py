"""What every training loop here shares: loss, learning-rate schedule, optimizers, weight averaging, compute dtype.

Parameters are any tree of arrays whose last key ends in the tensor's name (`weight`, `scale`, `bias`, `gamma`), such as
the flat dictionary "2.0.expand.weight" -> array of a stand-alone network.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from nas.errors import InvalidInput

Params = Any  # a tree of arrays
DECAYED = "weight"  # the one tensor name that weight decay acts on: kernels, never norms, biases or layer scales


class OptimizerSettings(Protocol):
    """How weights follow gradients: frozen settings that build the optax transformation."""

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

    def build(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        return optax.adamw(schedule, self.beta1, self.beta2, weight_decay=self.weight_decay, mask=decay_mask)


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
        """Return the published settings for pictures per step: learning rate 0.165 * batch_size / 256."""
        return cls(learning_rate=0.165 * batch_size / 256)

    def build(self, schedule: optax.Schedule) -> optax.GradientTransformation:
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


def cosine_schedule(peak: float, steps: int, warmup_fraction: float = 0.0) -> optax.Schedule:
    """Return the rate at a step: up linearly over a fraction of `steps`, then a cosine to 0 after the last."""
    if steps < 1 or not 0 <= warmup_fraction < 1:
        raise InvalidInput(
            f"a schedule needs at least 1 step and a warm-up fraction in [0, 1), got {steps} and {warmup_fraction}"
        )
    warmup = math.ceil(warmup_fraction * steps)

    def rate(step: Array | int) -> Array:
        at = jnp.asarray(step, jnp.float32)
        up = (at + 1) / max(warmup, 1)
        down = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip((at - warmup) / max(steps - warmup, 1), 0, 1)))
        return peak * jnp.where(at < warmup, up, down)

    return rate


def make_optimizer(
    settings: OptimizerSettings, steps: int, warmup_fraction: float = 0.0
) -> optax.GradientTransformation:
    """Return the optimizer with a cosine schedule over `steps` with warm-up."""
    return settings.build(cosine_schedule(settings.learning_rate, steps, warmup_fraction))


def smoothed_cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """Return the mean cross entropy, in nats, of logits [N, classes] and labels [N], in float32.

    The target is 1 - `smoothing` on the label plus `smoothing` spread evenly over all classes (arXiv 1512.00567).
    """
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    picked = jnp.take_along_axis(log_p, labels[:, None].astype(jnp.int32), axis=1)[:, 0]
    return -((1 - smoothing) * picked + smoothing * log_p.mean(1)).mean()


def ema_decay(step: Array | int, decay: float) -> Array:
    """Return the decay of a running average at `step`: min(decay, (1 + step) / (10 + step)).

    It averages over about the last tenth of the steps so far, until that is longer than 1 / (1 - decay) steps; so a
    short run is not biased to its start.
    """
    at = jnp.asarray(step, jnp.float32)
    return jnp.minimum(decay, (1 + at) / (10 + at))


def ema_update(average: Params, params: Params, decay: Array | float) -> Params:
    """Return `average` moved to `params` by 1 - `decay`."""
    return jax.tree.map(lambda a, p: a + (1 - decay) * (p - a), average, params)


def compute_dtype() -> Any:
    """Return the dtype of activations: bfloat16 on a GPU or TPU, float32 on a CPU; parameters are always float32."""
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


def copied(tree: Params) -> Params:
    """Return a copy of every array, with buffers of its own: made over the host, where nothing has to be compiled.

    The copies are strongly typed; a weakly typed scalar would cost a program that takes it a second compilation.
    """
    return jax.tree.map(lambda array: jax.device_put(np.array(array)), tree)
