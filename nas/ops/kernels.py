"""`Kernel`, what ops lower to: one call of the runtime with resolved sizes, which carries all costs.

All counts are for one image and in elements, not bytes: a target knows how wide an element is. A kernel here is this
hardware primitive; the window of a convolution is its `kernel_size`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

from nas.errors import InvalidInput
from nas.ops.size import Size

Kind = Literal["conv", "pointwise", "depthwise", "dense", "matmul", "pool", "elementwise"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Shape(NamedTuple):
    """Height, width and channels of one feature map (one image)."""

    height: int
    width: int
    channels: int

    @property
    def size(self) -> Size:
        """Height and width."""
        return Size(self.height, self.width)

    @property
    def elements(self) -> int:
        """Number of scalars in the feature map."""
        return self.height * self.width * self.channels

    def strided(self, stride: int, channels: int) -> "Shape":
        """Return the shape after an odd kernel size with `stride`, padded so that stride 1 keeps height and width."""
        return Shape(-(-self.height // stride), -(-self.width // stride), channels)


@dataclass(frozen=True)
class Kernel:
    """One call of the runtime, with its counts for one image, in elements.

    Normalisation and activation are folded into the kernel in front of them.
    """

    name: str
    kind: Kind
    in_shape: Shape
    out_shape: Shape
    macs: int
    params: int = 0  # trainable parameters, normalisation and bias included
    weights: int = 0  # parameters that the executed kernel reads
    reads: int = 0  # activation elements read
    writes: int = 0  # activation elements written
    held: int = 0  # elements of other tensors (a residual's or a gate's input) that must stay alive meanwhile
    kernel_size: int = 1
    stride: int = 1
    kernel_width: int | None = None  # of a window that is not square

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of the window."""
        return self.kernel_size, self.kernel_size if self.kernel_width is None else self.kernel_width

    def on_sequence(self) -> "Kernel":
        """Return the kernel over a map one wide: its window is k x 1, the column of k x k that meets the map.

        All other columns of a padded k x k window meet zeros alone, so the function is the same, at 1/k of the cost.
        """
        if self.kernel_width is not None or self.kernel_size == 1 or self.kind not in ("conv", "depthwise"):
            return self
        weights = self.weights // self.kernel_size
        return replace(
            self, macs=self.macs // self.kernel_size, weights=weights, params=self.params - self.weights + weights,
            kernel_width=1,
        )  # fmt: skip

    @property
    def live_elements(self) -> int:
        """Activation elements alive while the kernel runs: what it reads, writes and what others still need."""
        return self.reads + self.writes + self.held


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Return the nearest multiple of `divisor`, never smaller by more than 10 % (the MobileNet rule)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


def conv(name: str, shape: Shape, out: int, kernel_size: int, stride: int, *, norm: bool, bias: bool = False) -> Kernel:
    """Return the kernel of a k x k convolution, pointwise for k = 1; `norm` adds two parameters per output channel."""
    result = shape.strided(stride, out)
    weights = kernel_size * kernel_size * shape.channels * out
    kind: Kind = "pointwise" if kernel_size == 1 else "conv"
    params = weights + 2 * out * norm + out * bias
    macs = result.height * result.width * weights
    return Kernel(
        name, kind, shape, result, macs, params, weights, shape.elements, result.elements, 0, kernel_size, stride
    )


def depthwise(name: str, shape: Shape, kernel_size: int, stride: int) -> Kernel:
    """Return the kernel of a depthwise convolution with normalisation."""
    result = shape.strided(stride, shape.channels)
    weights = kernel_size * kernel_size * shape.channels
    macs = result.height * result.width * weights
    params = weights + 2 * shape.channels
    reads, writes = shape.elements, result.elements
    return Kernel(name, "depthwise", shape, result, macs, params, weights, reads, writes, 0, kernel_size, stride)


def dense(name: str, features: int, out: int, *, params: int | None = None) -> Kernel:
    """Return the kernel of a fully connected layer on a 1 x 1 feature map, with bias unless `params` says otherwise."""
    weights = features * out
    count = weights + out if params is None else params
    shape, result = Shape(1, 1, features), Shape(1, 1, out)
    return Kernel(name, "dense", shape, result, weights, count, weights, features, out)


def pool(name: str, shape: Shape) -> Kernel:
    """Return the kernel of a global average pool."""
    result = Shape(1, 1, shape.channels)
    return Kernel(name, "pool", shape, result, 0, reads=shape.elements, writes=result.elements)


def pool_along(name: str, shape: Shape, result: Shape) -> Kernel:
    """Return the kernel of the means of all rows or of all columns, a map of shape `result`."""
    return Kernel(name, "pool", shape, result, 0, reads=shape.elements, writes=result.elements)


def elementwise(name: str, shape: Shape, reads: int | None = None, params: int = 0) -> Kernel:
    """Return an elementwise kernel on feature maps of `shape`; by default an addition, which reads two."""
    count = 2 * shape.elements if reads is None else reads
    return Kernel(name, "elementwise", shape, shape, 0, params, params, count, shape.elements)


def holding(kernels: Sequence[Kernel], elements: int) -> list[Kernel]:
    """Return the kernels with `elements` more elements held alive during each of them."""
    return [replace(kernel, held=kernel.held + elements) for kernel in kernels]


def split_channels(channels: int, count: int) -> list[int]:
    """Return `channels` in `count` equal shares, the remainder in the first; `InvalidInput` where one is empty."""
    share = channels // count
    if not share:
        raise InvalidInput(f"{channels} channels cannot be split into {count} parts; use fewer groups or kernel sizes")
    return [channels - share * (count - 1), *[share] * (count - 1)]


def with_residual(kernels: Sequence[Kernel], shape: Shape, readers: int = 1) -> list[Kernel]:
    """Return a block's kernels and the addition of its input, held alive during all but the first `readers`."""
    return [*kernels[:readers], *holding(kernels[readers:], shape.elements), elementwise("add", shape)]
