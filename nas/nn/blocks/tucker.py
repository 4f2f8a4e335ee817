"""The Tucker convolution block (MobileDets)."""

from typing import Any

from flax import nnx
from jax import Array

from nas.nn.layers import Convolution, Normalise


class TuckerBlock(nnx.Module):
    """Tucker convolution, arXiv 2004.14525: 1 x 1 to `in_rank`, k x k with stride to `out_rank`, 1 x 1 to the end."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        in_rank: int,
        out_rank: int,
        kernel_size: int = 3,
        stride: int = 1,
        act: str = "relu6",
        residual: bool = False,
        **common: Any,
    ) -> None:
        self.residual = residual
        self.compress = Convolution(in_channels, in_rank, act=act, **common)
        self.mix = Convolution(in_rank, out_rank, kernel_size, stride, act=act, **common)
        self.project = Convolution(out_rank, out_channels, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = self.mix(self.compress(x, normalise), normalise)
        y = self.project(y, normalise)
        return x + y if self.residual else y
