"""Helpers of blocks with grouped convolutions: layers side by side, each on its share of the channels."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from nas.nn.layers import Convolution, Depthwise, Normalise, Normed


def channel_shares(channels: int, count: int) -> list[int]:
    """Return `channels` in `count` equal shares, the remainder in the first."""
    share = channels // count
    return [channels - share * (count - 1), *[share] * (count - 1)]


def grouped(in_channels: int, out_channels: int, groups: int, **settings: Any) -> Any:
    """Return a 1 x 1 convolution in `groups` groups: one layer, or a list of several."""
    widths = zip(channel_shares(in_channels, groups), channel_shares(out_channels, groups), strict=True)
    return one_or_list([Convolution(before, after, **settings) for before, after in widths])


def mixed_depthwise(channels: int, kernel_sizes: Sequence[int], stride: int, **settings: Any) -> Any:
    """Return a depthwise convolution whose channels are shared by `kernel_sizes`: one layer, or a list of several."""
    shares = zip(channel_shares(channels, len(kernel_sizes)), kernel_sizes, strict=True)
    return one_or_list([Depthwise(share, size, stride, **settings) for share, size in shares])


def one_or_list(layers: list[Any]) -> Any:
    """Return the layer of a list of one, so that its tensors have names without a number; else an NNX list."""
    return layers[0] if len(layers) == 1 else nnx.List(layers)


def apply_grouped(layers: Any, x: Array, normalise: Normalise) -> Array:
    """Return the output of one layer, or of several side by side, each on its share of the channels of `x`."""
    if isinstance(layers, Normed):
        return layers(x, normalise)
    starts = np.cumsum([layer.in_channels for layer in layers])[:-1].tolist()
    pieces = jnp.split(x, starts, axis=-1)
    return jnp.concatenate([layer(piece, normalise) for layer, piece in zip(layers, pieces, strict=True)], axis=-1)
