"""Squeeze-excite as kernels (arXiv 1709.01507): pool, two dense layers, and the multiplication by the gate."""

from nas.ops.kernels import Kernel, Shape, dense, elementwise, holding, pool


def squeeze_excite(shape: Shape, squeezed: int) -> list[Kernel]:
    """Return the kernels on a feature map of `shape`, which stays alive meanwhile; `squeezed` is the inner width."""
    channels = shape.channels
    gate = [dense("se_reduce", channels, squeezed), dense("se_expand", squeezed, channels)]
    multiply = elementwise("se_scale", shape, shape.elements + channels)
    return [pool("se_pool", shape), *holding(gate, shape.elements), multiply]
