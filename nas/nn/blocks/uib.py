"""The Universal Inverted Bottleneck block (MobileNetV4)."""

from typing import Any

from jax import Array

from nas.nn.blocks.excitation import ExcitedBlock
from nas.nn.blocks.grouped import apply_grouped, mixed_depthwise
from nas.nn.layers import Convolution, Normalise


class UIBBlock(ExcitedBlock):
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
        se_channels: int = 0,
        se_act: str = "relu",
        se_gate: str = "sigmoid",
        ca_channels: int = 0,
        start_mix: tuple[int, ...] = (),
        middle_mix: tuple[int, ...] = (),
        **common: Any,
    ) -> None:
        self.residual = residual
        start, middle = (start_dw, *start_mix), (middle_dw, *middle_mix)
        start_stride = 1 if middle_dw else stride
        self.start_dw = mixed_depthwise(in_channels, start, start_stride, **common) if start_dw else None
        self.expand = Convolution(in_channels, expanded_channels, act=act, **common)
        self.middle_dw = mixed_depthwise(expanded_channels, middle, stride, act=act, **common) if middle_dw else None
        self.add_excitation(expanded_channels, se_channels, se_act, se_gate, ca_channels, **common)
        self.project = Convolution(expanded_channels, out_channels, layer_scale=layer_scale, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = x if self.start_dw is None else apply_grouped(self.start_dw, x, normalise)
        y = self.expand(y, normalise)
        y = y if self.middle_dw is None else apply_grouped(self.middle_dw, y, normalise)
        y = self.project(self.excite(y, normalise), normalise)
        return x + y if self.residual else y
