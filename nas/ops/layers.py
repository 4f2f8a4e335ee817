"""Layers as kernels: convolutions with normalisation and activation or EvoNorm, grouped, or of several kernel sizes.

EvoNorm (arXiv 2004.02967) replaces normalisation and activation. No runtime folds it into the convolution in front of
it: it is a reduction to the variances and an elementwise kernel.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import gcd

from nas.ops.fields import EVONORMS, Act
from nas.ops.kernels import Kernel, Shape, conv, depthwise, elementwise, split_channels

EVONORM_GROUPS = 32  # of EvoNorm-S0, section 4.2 of the paper


def evonorm_groups(channels: int) -> int:
    """Return into how many groups EvoNorm-S0 splits the channels: 32, or the largest divisor of both below."""
    return gcd(channels, EVONORM_GROUPS)


def normed(kernel: Kernel, act: Act) -> list[Kernel]:
    """Return a layer's kernels: one with normalisation and activation folded in, for EvoNorm those behind it too."""
    if act not in EVONORMS:
        return [kernel]
    shape, channels = kernel.out_shape, kernel.out_shape.channels
    variances = Shape(1, 1, channels if act == "evonorm_b0" else evonorm_groups(channels))
    pool = Kernel(f"{kernel.name}_var", "pool", shape, variances, 0, reads=shape.elements, writes=variances.elements)
    finish = elementwise(f"{kernel.name}_evonorm", shape, shape.elements + variances.elements)
    read = (4 if act == "evonorm_b0" else 3) * channels  # v, gamma, beta; B0's stored variance
    return [replace(kernel, params=kernel.params + channels), pool, replace(finish, weights=read)]


def convolution(name: str, shape: Shape, out: int, kernel_size: int, stride: int, act: Act = "none") -> list[Kernel]:
    """Return the kernels of a k x k convolution with normalisation and activation."""
    return normed(conv(name, shape, out, kernel_size, stride, norm=True), act)


def grouped_pointwise(name: str, shape: Shape, out: int, groups: int, act: Act = "none") -> list[Kernel]:
    """Return the kernels of a 1x1 convolution with normalisation in `groups` groups, one layer each."""
    widths = zip(split_channels(shape.channels, groups), split_channels(out, groups), strict=True)
    layers = [convolution(name, shape._replace(channels=before), after, 1, 1, act) for before, after in widths]
    return side_by_side(layers, shape.elements, shape.strided(1, out).elements)


def mixed_depthwise(
    name: str, shape: Shape, kernel_sizes: Sequence[int], stride: int, act: Act = "none"
) -> list[Kernel]:
    """Return the kernels of a depthwise convolution whose channels are shared by `kernel_sizes` (arXiv 1907.09595)."""
    groups = zip(kernel_sizes, split_channels(shape.channels, len(kernel_sizes)), strict=True)
    layers = [normed(depthwise(name, shape._replace(channels=share), size, stride), act) for size, share in groups]
    return side_by_side(layers, shape.elements, shape.strided(stride, shape.channels).elements)


def side_by_side(layers: Sequence[Sequence[Kernel]], reads: int, writes: int) -> list[Kernel]:
    """Return the kernels of layers that each handle a share of the same two feature maps, numbered where several.

    `reads` and `writes` are the elements of the whole maps, which stay alive while any of the kernels runs.
    """
    if len(layers) == 1:
        return [*layers[0]]
    return [
        replace(kernel, name=f"{kernel.name}.{i}", held=max(0, reads + writes - kernel.reads - kernel.writes))
        for i, layer in enumerate(layers)
        for kernel in layer
    ]


def input_readers(kernels: Sequence[Kernel]) -> int:
    """Return how many of a layer's kernels run while its input is alive anyway: all of several side by side, else 1."""
    return len(kernels) if kernels[0].held else 1
