"""Convolution over time and bands with a window and a stride of its own on each side, as keyword spotters begin."""

from dataclasses import dataclass
from typing import ClassVar

from nas.errors import InvalidInput
from nas.ops import fields
from nas.ops.base import Act, Op
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import Kernel, Shape


@dataclass(frozen=True)
class TimeBandConv(Op):
    """Convolution of `time_size` x `band_size`, normalisation, activation, on a map of frames x bands.

    Windows may be even; whatever the network's padding is, the map is padded as TensorFlow's 'same' does.
    """

    tag: ClassVar[str] = "time_band_conv"
    out_channels: int = fields.channels()
    time_size: int = fields.count()
    band_size: int = fields.count()
    time_stride: int = fields.count(1)
    band_stride: int = fields.count(1)
    act: Act = fields.choice(Act, "relu")

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(-(-shape.height // self.time_stride), -(-shape.width // self.band_stride), self.out_channels)

    def describe(self, shape: Shape) -> str:
        strides = f", s{self.time_stride}x{self.band_stride}" if max(self.time_stride, self.band_stride) > 1 else ""
        return f"{self.label} k{self.time_size}x{self.band_size}, {shape.channels}-{self.out_channels}{strides}"

    def kernels(self, shape: Shape) -> list[Kernel]:
        if shape.size.is_sequence:
            raise InvalidInput(f"time_band_conv takes maps of frames x bands, got {shape.height} steps; use conv")
        result = self.out_shape(shape)
        weights = self.time_size * self.band_size * shape.channels * self.out_channels
        macs = result.height * result.width * weights
        params = weights + 2 * self.out_channels
        return [
            Kernel(
                "conv", "conv", shape, result, macs, params, weights, shape.elements, result.elements, 0,
                self.time_size, self.time_stride, self.band_size,
            )
        ]  # fmt: skip

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        window, stride = (self.time_size, self.band_size), (self.time_stride, self.band_stride)
        return graph.windowed(
            x, f"{name}.conv", self.out_channels, window=window, stride=stride, padding="same", act=self.act
        )
