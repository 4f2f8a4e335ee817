"""How integer kernels go from the numbers they sum to int8: factors in float32, and sums of two in fixed point.

As in XNNPACK, with which LiteRT runs int8 files on the processors of phones and of servers: a convolution, a product
and a mean multiply their sum by one factor in float32 and round to even (src/microparams-init.c, "fp32"); a sum of two
tensors has factors of 21 bits and rounds halves up (xnn_init_qs8_add_minmax_scalar_params). Kernels of microcontrollers
and of accelerators round otherwise.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

FACTOR_BITS = 21  # of the larger factor of a sum of two


def single(x: Any) -> Any:
    """Return a number as float32, as a file holds it; an array of jax as it is."""
    return x if isinstance(x, Array) else np.float32(x)


def factor_of(scale: Any, output_scale: Any, other: Any = None) -> Any:
    """Return what one of this scale, or of its products with `other`, is worth in steps of the output; float32."""
    worth = single(scale) if other is None else single(scale) * single(other)
    return worth / single(output_scale)


def sum_of_two(x: Array, y: Array, x_factor: Any, y_factor: Any) -> Array:
    """Return x * x_factor + y * y_factor, of whole numbers from -255 to 255, rounded to a whole number; float32.

    The gradient is that of the real sum.
    """
    real = x * x_factor + y * y_factor
    factors = jnp.stack([jnp.asarray(each, jnp.float32) for each in (x_factor, y_factor)])
    shift = FACTOR_BITS - jnp.frexp(factors.max())[1]
    x_whole, y_whole = jnp.rint(jnp.ldexp(factors, shift)).astype(jnp.int32)
    total = x.astype(jnp.int32) * x_whole + y.astype(jnp.int32) * y_whole
    rounded = (total + (1 << (shift - 1))) >> shift
    return real + jax.lax.stop_gradient(rounded.astype(jnp.float32) - real)
