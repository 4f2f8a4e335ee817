"""Attentive pooling over time with the Gram matrix of what it pools (Wav2Small, arXiv 2408.13920)."""

from dataclasses import dataclass
from typing import ClassVar

from nas.ops.base import Op
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import Kernel, Shape, conv, elementwise


@dataclass(frozen=True)
class GramPool(Op):
    """Weighted mean over time, and its Gram matrix, of a map of frames x bands x channels: 1 x 1 x (B C + C C).

    Two 1 x 1 convolutions with biases, without normalisation, give values and scores; the weights of the mean are the
    softmax of the scores over time, for each band and channel. The Gram matrix holds the products of the channels of
    that mean, summed over the bands.
    """

    tag: ClassVar[str] = "gram_pool"

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(1, 1, (shape.width + shape.channels) * shape.channels)

    def kernels(self, shape: Shape) -> list[Kernel]:
        channels, pooled = shape.channels, Shape(1, shape.width, shape.channels)
        value, score = (conv(name, shape, channels, 1, 1, norm=False, bias=True) for name in ("value", "score"))
        both, gram = 2 * shape.elements, Shape(1, 1, channels * channels)
        mean = Kernel("mean", "matmul", shape, pooled, shape.elements, reads=both, writes=pooled.elements)
        products = Kernel(
            "gram", "matmul", pooled, gram, pooled.elements * channels, reads=pooled.elements, writes=gram.elements
        )
        softmax = elementwise("softmax", shape, reads=shape.elements)
        # The input is read twice, and the values wait for their weights.
        held = [value, *(Kernel(**{**vars(one), "held": one.held + shape.elements}) for one in (score, softmax))]
        return [*held, mean, products]

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        writer, (steps, _, channels) = graph.writer, x.shape
        # The weighted sum over time is the mean of the products, where each value is as many times as large.
        value = graph.linear(x, f"{name}.value", channels, bias=True, factor=steps)
        shares = writer.softmax_over_height(f"{name}.softmax", graph.linear(x, f"{name}.score", channels, bias=True))
        mean = writer.mean(f"{name}.mean", writer.multiply(f"{name}.weighted", value, shares), "height")
        gram = writer.channel_products(f"{name}.gram", mean)
        return writer.concat(name, [writer.positions_to_channels(f"{name}.flat", mean), gram])
