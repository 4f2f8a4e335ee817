"""The Universal Inverted Bottleneck block (MobileNetV4)."""

from typing import Any

from flax import nnx
from jax import Array

from nas.nn.layers import Convolution, Depthwise, Normalise


class UIBBlock(nnx.Module):
    """Universal Inverted Bottleneck, arXiv 2404.10518: [start depthwise] - expand - [middle depthwise] - project."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expanded_channels: int,
        start_dw: int = 0,
        middle_dw: int = 3,
        stride: int = 1,
        act: str = "relu",
        residual: bool = False,
        layer_scale: bool = False,
        **common: Any,
    ) -> None:
        self.residual = residual
        start_stride = 1 if middle_dw else stride
        self.start_dw = Depthwise(in_channels, start_dw, start_stride, **common) if start_dw else None
        self.expand = Convolution(in_channels, expanded_channels, act=act, **common)
        self.middle_dw = Depthwise(expanded_channels, middle_dw, stride, act=act, **common) if middle_dw else None
        self.project = Convolution(expanded_channels, out_channels, layer_scale=layer_scale, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = x if self.start_dw is None else self.start_dw(x, normalise)
        y = self.expand(y, normalise)
        y = y if self.middle_dw is None else self.middle_dw(y, normalise)
        y = self.project(y, normalise)
        return x + y if self.residual else y
