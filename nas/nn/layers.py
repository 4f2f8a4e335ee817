"""The layers that blocks are made of, as Flax NNX modules, NHWC; imports jax, flax and numpy.

An exporter copies this file, primitives.py and the blocks of a network verbatim into a stand-alone model, so nothing
else is imported. A layer's attributes are its tensors: `weight` ([k, k, in, out], depthwise [k, k, C], 1x1 and dense
[in, out]; the windows of networks over sequences are k x 1), `shift` of a bias in front of a normalisation, `scale`,
`bias`, `mean`, `var` of its normalisation, `gamma` of its layer scale, `v` of an EvoNorm. Every layer computes in the
dtype of its input; parameters and statistics are float32.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from nas.nn.primitives import Padding, batch_moments, batch_norm, conv2d, depthwise, pointwise

LAYER_SCALE_INIT = 1e-5  # MobileNetV4's hybrids
EVONORMS = ("evonorm_b0", "evonorm_s0")
EVONORM_GROUPS = 32  # of S0, section 4.2 of its paper
BLOCK = 1 << 15  # random numbers generated at once

ACTS: dict[str, Callable[[Array], Array]] = {
    "none": lambda x: x,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "hswish": jax.nn.hard_swish,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "swish": jax.nn.swish,
}
GATES: dict[str, Callable[[Array], Array]] = {"hard_sigmoid": jax.nn.hard_sigmoid, "sigmoid": jax.nn.sigmoid}
Normalise = Callable[["Normed", Array], Array]  # a layer and its output before normalisation -> after


def batch_statistics(layer: "Normed", y: Array) -> Array:
    """Return `y` normalised with the statistics of the batch itself: for training; nothing is stored."""
    if layer.v is not None:
        return evonorm(layer, layer.v[...], y, batch_moments(y)[1] if layer.var is not None else None)
    return batch_norm(y, layer.scale[...], layer.bias[...], layer.norm_eps)


def stored_statistics(layer: "Normed", y: Array) -> Array:
    """Return `y` normalised with the layer's stored mean and variance: for inference."""
    if layer.v is not None:
        return evonorm(layer, layer.v[...], y, layer.var[...] if layer.var is not None else None)
    assert layer.mean is not None and layer.var is not None
    factor = layer.scale[...] * jax.lax.rsqrt(layer.var[...] + layer.norm_eps)
    shift = layer.bias[...] - layer.mean[...] * factor
    return (y.astype(jnp.float32) * factor + shift).astype(y.dtype)


def evonorm(layer: "Normed", v: Array, y: Array, batch_variance: Array | None) -> Array:
    """Return EvoNorm-B0 of `y` with this variance [C] over the batch, without one EvoNorm-S0: arXiv 2004.02967, Tab. 2.

    `v` [C] are the slopes. Each stands in place of normalisation and activation. S0 takes the variance within each
    image and group of channels, so that its output for an image does not depend on the others of the batch.
    """
    x = y.astype(jnp.float32)
    if batch_variance is None:
        deviation = jnp.sqrt(group_variance(x, math.gcd(x.shape[-1], EVONORM_GROUPS)) + layer.norm_eps)
        ratio = x * jax.nn.sigmoid(v * x) / deviation
    else:
        instance = jnp.sqrt(x.var((1, 2), keepdims=True) + layer.norm_eps)
        ratio = x / jnp.maximum(jnp.sqrt(batch_variance + layer.norm_eps), v * x + instance)
    return (ratio * layer.scale[...] + layer.bias[...]).astype(y.dtype)


def group_variance(x: Array, groups: int) -> Array:
    """Return the variance within each image and group of channels of x [N, H, W, C], for each channel: [N, 1, 1, C]."""
    n, *_, channels = x.shape
    variance = x.reshape(n, -1, groups, channels // groups).var((1, 3))
    return jnp.repeat(variance, channels // groups, axis=-1)[:, None, None]


@jax.jit
def _normal_block(key: Array, number: int) -> Array:
    """Return block `number` of the endless sequence of normal random numbers that belongs to `key`."""
    return jax.random.normal(jax.random.fold_in(key, number), (BLOCK,))


class NoNumbers(nnx.Rngs):
    """Random numbers of a network that is built for the shapes of its tensors alone: none are made."""


def normal(rngs: nnx.Rngs, shape: tuple[int, ...], std: float) -> nnx.Param[Array]:
    """Return a parameter of independent normal numbers with standard deviation `std`.

    Generated in blocks of one size, so that one compilation serves every shape.
    """
    if isinstance(rngs, NoNumbers):
        return nnx.Param(jnp.zeros(shape))
    key, size = rngs.params(), math.prod(shape)
    blocks = [_normal_block(key, number) for number in range(-(-size // BLOCK))]
    numbers: Any = jnp if isinstance(key, jax.core.Tracer) else np  # same values; on the host nothing is compiled
    return nnx.Param(jax.device_put(std * numbers.concatenate(blocks)[:size].reshape(shape)))


def constant(value: float, channels: int) -> Array:
    """Return [channels] times `value`, made on the host, so that nothing is compiled."""
    return jax.device_put(np.full(channels, value, np.float32))


def window_of(kernel_size: int, is_sequence: bool) -> tuple[int, int]:
    """Return height and width of the window of a convolution: on sequences, maps one wide, it is one wide."""
    return kernel_size, 1 if is_sequence else kernel_size


class Normed(nnx.Module):
    """Base of layers: batch normalisation of [N, H, W, C], activation, layer scale, which follow a linear map.

    EvoNorm ("evonorm_b0", "evonorm_s0") is an activation that stands in place of the normalisation too: it has `v`,
    which starts at 1, and no mean; B0 has a stored variance.
    """

    def __init__(self, channels: int, *, act: str = "none", layer_scale: bool = False, norm_eps: float = 1e-5) -> None:
        self.scale = nnx.Param(constant(1, channels))
        self.bias = nnx.Param(constant(0, channels))
        self.mean = None if act in EVONORMS else nnx.BatchStat(constant(0, channels))
        self.var = None if act == "evonorm_s0" else nnx.BatchStat(constant(1, channels))
        self.v = nnx.Param(constant(1, channels)) if act in EVONORMS else None
        self.gamma = nnx.Param(constant(LAYER_SCALE_INIT, channels)) if layer_scale else None
        self.act, self.norm_eps = act, norm_eps

    def finish(self, y: Array, normalise: Normalise) -> Array:
        """Return `y` after normalisation, activation and layer scale."""
        y = normalise(self, y)
        y = y if self.v is not None else ACTS[self.act](y)
        return y if self.gamma is None else y * self.gamma[...].astype(y.dtype)


class Norm(Normed):
    """A normalisation without a linear map in front."""

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        return self.finish(x, normalise)


class Convolution(Normed):
    """k x k convolution [N, H, W, in] -> [N, H', W', out] with normalisation; a matrix product for k = 1.

    With `bias`, a bias stands in front of the normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        *,
        rngs: nnx.Rngs,
        padding: Padding = "symmetric",
        is_sequence: bool = False,
        bias: bool = False,
        **norm: Any,
    ) -> None:
        super().__init__(out_channels, **norm)
        self.shift = nnx.Param(constant(0, out_channels)) if bias else None
        window = window_of(kernel_size, is_sequence)
        std = (2 / (math.prod(window) * out_channels)) ** 0.5
        self.weight = normal(rngs, (*(() if kernel_size == 1 else window), in_channels, out_channels), std)
        self.in_channels, self.kernel_size, self.stride, self.padding = in_channels, kernel_size, stride, padding

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        weight = self.weight[...].astype(x.dtype)
        if self.kernel_size == 1:
            y = pointwise(x[:, :: self.stride, :: self.stride], weight)
        else:
            y = conv2d(x, weight, self.stride, self.padding)
        return self.finish(y if self.shift is None else y + self.shift[...].astype(y.dtype), normalise)


class Depthwise(Normed):
    """Depthwise k x k convolution [N, H, W, C] -> [N, H', W', C] with normalisation."""

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        rngs: nnx.Rngs,
        padding: Padding = "symmetric",
        is_sequence: bool = False,
        **norm: Any,
    ) -> None:
        super().__init__(channels, **norm)
        window = window_of(kernel_size, is_sequence)
        self.weight = normal(rngs, (*window, channels), (2 / math.prod(window)) ** 0.5)
        self.in_channels, self.stride, self.padding = channels, stride, padding

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        return self.finish(depthwise(x, self.weight[...].astype(x.dtype), self.stride, self.padding), normalise)


class Linear(nnx.Module):
    """Matrix product over the last axis without normalisation, with or without bias and layer scale."""

    def __init__(
        self,
        features: int,
        out: int,
        *,
        rngs: nnx.Rngs,
        bias: bool = False,
        layer_scale: bool = False,
        std: float | None = None,
    ) -> None:
        self.weight = normal(rngs, (features, out), features**-0.5 if std is None else std)
        self.bias = nnx.Param(constant(0, out)) if bias else None
        self.gamma = nnx.Param(constant(LAYER_SCALE_INIT, out)) if layer_scale else None

    def __call__(self, x: Array) -> Array:
        y = x @ self.weight[...].astype(x.dtype)
        if self.bias is not None:
            y += self.bias[...].astype(x.dtype)
        return y if self.gamma is None else y * self.gamma[...].astype(x.dtype)
