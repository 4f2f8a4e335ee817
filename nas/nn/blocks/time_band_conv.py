"""Convolution over time and bands."""

from typing import Any

from flax import nnx
from jax import Array, lax

from nas.nn.layers import Normalise, Normed, normal


class TimeBandConvBlock(nnx.Module):
    """Convolution with a window and a stride of its own for time and for bands, normalisation, activation."""

    def __init__(
        self, in_channels: int, out_channels: int, time_size: int, band_size: int, time_stride: int = 1,
        band_stride: int = 1, act: str = "relu", **common: Any,
    ) -> None:  # fmt: skip
        self.conv = TimeBandLayer(
            in_channels, out_channels, (time_size, band_size), (time_stride, band_stride), act=act,
            rngs=common["rngs"], norm_eps=common["norm_eps"],
        )  # fmt: skip

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        return self.conv(x, normalise)


class TimeBandLayer(Normed):
    """Convolution [N, T, B, in] -> [N, T', B', out], padded as TensorFlow's 'same' does, with normalisation."""

    def __init__(
        self, in_channels: int, out_channels: int, window: tuple[int, int], strides: tuple[int, int], *,
        rngs: nnx.Rngs, **norm: Any,
    ) -> None:  # fmt: skip
        super().__init__(out_channels, **norm)
        std = (2 / (window[0] * window[1] * out_channels)) ** 0.5
        self.weight = normal(rngs, (*window, in_channels, out_channels), std)
        self.strides = strides

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        weight = self.weight[...].astype(x.dtype)
        y = lax.conv_general_dilated(x, weight, self.strides, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return self.finish(y, normalise)
