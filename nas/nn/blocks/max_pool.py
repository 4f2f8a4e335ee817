"""Maximum over windows."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array, lax

from nas.nn.layers import Normalise, window_of


class MaxPoolBlock(nnx.Module):
    """Maximum of each channel of [N, H, W, C] over k x k windows."""

    def __init__(
        self, in_channels: int, kernel_size: int = 3, stride: int = 2, *, padding: str = "symmetric",
        is_sequence: bool = False, **common: Any,
    ) -> None:  # fmt: skip
        self.window, self.stride, self.padding = window_of(kernel_size, is_sequence), stride, padding

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        sides = tuple(
            _zeros(size, window, self.stride, self.padding)
            for size, window in zip(x.shape[1:3], self.window, strict=True)
        )
        window, stride = (1, *self.window, 1), (1, self.stride, self.stride, 1)
        return lax.reduce_window(x, jnp.asarray(-jnp.inf, x.dtype), lax.max, window, stride, ((0, 0), *sides, (0, 0)))


def _zeros(size: int, window: int, stride: int, padding: str) -> tuple[int, int]:
    """Return how much is padded before and after one side of `size`."""
    if padding == "symmetric":
        return (window - 1) // 2, (window - 1) // 2
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2
