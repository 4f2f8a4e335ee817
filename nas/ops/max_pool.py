"""Maximum over windows, in place of a strided convolution."""

from dataclasses import dataclass
from typing import ClassVar

from nas.ops import fields
from nas.ops.base import Op
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import Kernel, Shape


@dataclass(frozen=True)
class MaxPool(Op):
    """Maximum of each channel over k x k windows; k is `kernel_size`. What is padded never is the maximum."""

    tag: ClassVar[str] = "max_pool"
    kernel_size: int = fields.kernel_size(3)
    stride: int = fields.stride(2)

    def out_shape(self, shape: Shape) -> Shape:
        return shape.strided(self.stride, shape.channels)

    def kernels(self, shape: Shape) -> list[Kernel]:
        result, size = self.out_shape(shape), self.kernel_size
        sizes = {"kernel_size": size, "stride": self.stride}
        return [Kernel("pool", "pool", shape, result, 0, reads=shape.elements, writes=result.elements, **sizes)]

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        return graph.writer.max_pool(f"{name}.pool", x, graph.window(self.kernel_size), stride=self.stride)
