"""Excitation of a feature map inside a block: squeeze-excite, coordinate attention, or none."""

from typing import Any

import jax
from flax import nnx
from jax import Array

from nas.nn.layers import ACTS, GATES, Convolution, Linear, Normalise


class ExcitedBlock(nnx.Module):
    """Base of blocks that may have squeeze-excite (arXiv 1709.01507) or coordinate attention (arXiv 2103.02907).

    Attributes with layers are absent layers where they are None.
    """

    def add_excitation(
        self,
        width: int,
        se_channels: int,
        se_act: str,
        se_gate: str,
        ca_channels: int,
        **common: Any,
    ) -> None:
        """Add the layers on a map of `width` channels; an inner width of 0 adds none of that kind."""
        rngs = common["rngs"]
        self.se_act, self.se_gate = se_act, se_gate
        self.se_reduce = Linear(width, se_channels, bias=True, rngs=rngs) if se_channels else None
        self.se_expand = Linear(se_channels, width, bias=True, rngs=rngs) if se_channels else None
        self.ca_reduce = Convolution(width, ca_channels, act="hswish", bias=True, **common) if ca_channels else None
        self.ca_height = Linear(ca_channels, width, bias=True, rngs=rngs) if ca_channels else None
        self.ca_width = Linear(ca_channels, width, bias=True, rngs=rngs) if ca_channels else None

    def excite(self, y: Array, normalise: Normalise) -> Array:
        """Return the map times its gates."""
        if self.se_reduce is not None and self.se_expand is not None:
            return squeeze_excite(y, self.se_reduce, self.se_expand, self.se_act, self.se_gate)
        if self.ca_reduce is None or self.ca_height is None or self.ca_width is None:
            return y
        rows, columns = y.mean(2, keepdims=True), y.mean(1, keepdims=True).swapaxes(1, 2)
        both = self.ca_reduce(jax.numpy.concatenate([rows, columns], axis=1), normalise)
        by_row, by_column = both[:, : y.shape[1]], both[:, y.shape[1] :].swapaxes(1, 2)
        return y * jax.nn.sigmoid(self.ca_height(by_row)) * jax.nn.sigmoid(self.ca_width(by_column))


def squeeze_excite(y: Array, reduce: Linear, expand: Linear, act: str, gate: str) -> Array:
    """Return the map [N, H, W, C] times a gate per image and channel."""
    return y * GATES[gate](expand(ACTS[act](reduce(y.mean((1, 2), keepdims=True)))))
