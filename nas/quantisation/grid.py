"""The int8 grids of tensors and weights, and rounding to them with straight-through gradients.

Scheme: Jacob et al., arXiv 1712.05877: r = scale * (q - zero), q from -128 to 127; weights symmetric, from -127 to 127,
one scale per output channel, as in Wu et al., arXiv 2004.09602. The same functions serve numpy, in double precision,
for files, and jax, in float32 under a trace, for training.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

LOW, HIGH = -128, 127
LARGEST_BIAS = 1 << 30  # steps; int32 holds twice as many
SMALLEST_SCALE = 1e-9  # of a tensor that is 0 on all calibration images
HALF_STEP = 0.5  # values up to so much beyond the last step are rounded to it, not clipped
Range = tuple[float, float]  # smallest and largest value; 0 lies between them, for the zeros of a padding


class Grid(NamedTuple):
    """The values that int8 numbers of a tensor stand for: scale * (q - zero)."""

    scale: Any
    zero: Any


def grid_of(low: Any, high: Any) -> Grid:
    """Return the grid whose int8 numbers span the range, of Python's floats in double precision."""
    numbers: Any = jnp if isinstance(low, Array) else np
    scale = numbers.maximum((high - low) / (HIGH - LOW), SMALLEST_SCALE)
    return Grid(scale, numbers.clip(numbers.rint(LOW - low / scale), LOW, HIGH))


class IntWeights(NamedTuple):
    """Weight and bias of a layer in steps, and what a step is worth: of a weight, and of their products with inputs."""

    weight: Any  # whole numbers from -127 to 127
    bias: Any  # whole numbers
    weight_scale: Any  # [out], or one number
    scale: Any  # the same, times the scale of the input


def int_weights(weight: Any, bias: Any, input_scale: Any, *, per_channel: bool = True, axis: int = -1) -> IntWeights:
    """Return weight [..., out] and bias [out] of a layer in whole steps; rounding passes gradients straight through.

    The output channels are along `axis`; without `per_channel` the weight has one scale. A scale is large enough for
    the bias to fit 32 bits.
    """
    traced = isinstance(weight, Array)
    numbers: Any = jnp if traced else np
    others = tuple(i for i in range(weight.ndim) if i != axis % weight.ndim)
    fixed_weight, fixed_bias = (
        (jax.lax.stop_gradient(weight), jax.lax.stop_gradient(bias)) if traced else (weight, bias)
    )
    largest = numbers.abs(fixed_weight).max(others if per_channel else None)
    largest_bias = numbers.abs(fixed_bias)
    for_bias = (largest_bias if per_channel else largest_bias.max()) / (input_scale * LARGEST_BIAS)
    scales = numbers.maximum(numbers.maximum(largest / HIGH, for_bias), SMALLEST_SCALE)
    if not traced:
        scales = scales.astype(np.float32).astype(np.float64)  # as a file holds them
    steps = scales * input_scale
    across = numbers.expand_dims(scales, others) if per_channel else scales
    if traced:
        return IntWeights(rounded(weight / across, -float(HIGH), float(HIGH)), to_whole(bias / steps), scales, steps)
    return IntWeights(np.clip(np.rint(weight / across), -HIGH, HIGH), np.rint(bias / steps), scales, steps)


@jax.custom_vjp
def rounded(x: Array, low: Array | float, high: Array | float) -> Array:
    """Return x rounded to whole numbers from `low` to `high`; its gradient is 1 inside, 0 where x is clipped."""
    return jnp.clip(jnp.rint(x), low, high)


def _rounded_fwd(x: Array, low: Any, high: Any) -> tuple[Array, tuple[Array, Any, Any]]:
    inside = (x >= low - HALF_STEP) & (x <= high + HALF_STEP)
    return rounded(x, low, high), (inside, low, high)


def _rounded_bwd(saved: tuple[Array, Any, Any], g: Array) -> tuple[Array, Any, Any]:
    inside, low, high = saved
    return jnp.where(inside, g, 0), jnp.zeros_like(low, dtype=g.dtype), jnp.zeros_like(high, dtype=g.dtype)


rounded.defvjp(_rounded_fwd, _rounded_bwd)


@jax.custom_vjp
def to_whole(x: Array) -> Array:
    """Return x rounded to whole numbers; the gradient is that of x."""
    return jnp.rint(x)


to_whole.defvjp(lambda x: (jnp.rint(x), None), lambda _, g: (g,))


def fake_quantised(x: Array, grid: Grid) -> Array:
    """Return x rounded to the grid and clipped to its ends; the gradient passes inside the range only."""
    return rounded(x / grid.scale, LOW - grid.zero, HIGH - grid.zero) * grid.scale
