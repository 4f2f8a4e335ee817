"""Excitation as kernels: squeeze-excite (arXiv 1709.01507), coordinate attention (arXiv 2103.02907), or none."""

from typing import Protocol

from nas.errors import InvalidInput
from nas.ops.fields import Act, Gate
from nas.ops.kernels import Kernel, Shape, conv, dense, elementwise, holding, pool, pool_along


class Excited(Protocol):
    """An op with the fields that say which excitation it has; a width of 0 says that it has none of this kind."""

    @property
    def tag(self) -> str: ...
    @property
    def se_channels(self) -> int: ...
    @property
    def se_act(self) -> Act: ...
    @property
    def se_gate(self) -> Gate: ...
    @property
    def ca_channels(self) -> int: ...


def check_excitation(op: Excited) -> None:
    """Raise `InvalidInput` where an op has both kinds of excitation."""
    if op.se_channels and op.ca_channels:
        raise InvalidInput(
            f"{op.tag} has squeeze-excite and coordinate attention at once; set se_channels or ca_channels to 0"
        )


def excitation(op: Excited, shape: Shape) -> list[Kernel]:
    """Return the kernels of an op's excitation on a feature map of `shape`, none where it has none."""
    if op.ca_channels:
        return coordinate_attention(shape, op.ca_channels)
    return squeeze_excite(shape, op.se_channels) if op.se_channels else []


def squeeze_excite(shape: Shape, squeezed: int, name: str = "se") -> list[Kernel]:
    """Return the kernels on a feature map of `shape`, which stays alive meanwhile; `squeezed` is the inner width."""
    channels = shape.channels
    gate = [dense(f"{name}_reduce", channels, squeezed), dense(f"{name}_expand", squeezed, channels)]
    multiply = elementwise(f"{name}_scale", shape, shape.elements + channels)
    return [pool(f"{name}_pool", shape), *holding(gate, shape.elements), multiply]


def coordinate_attention(shape: Shape, reduced: int) -> list[Kernel]:
    """Return the kernels on a feature map of `shape`, which stays alive meanwhile; `reduced` is the inner width.

    The means of all rows and of all columns go through one 1x1 convolution with bias and normalisation; from its output
    two 1x1 convolutions with bias make a gate per row and one per column, and the map is multiplied by both.
    """
    height, width, channels = shape
    rows, columns = (
        pool_along("ca_pool_h", shape, Shape(height, 1, channels)),
        pool_along("ca_pool_w", shape, Shape(1, width, channels)),
    )
    reduce = conv("ca_reduce", Shape(height + width, 1, channels), reduced, 1, 1, norm=True, bias=True)
    gates = [
        conv("ca_height", Shape(height, 1, reduced), channels, 1, 1, norm=False, bias=True),
        conv("ca_width", Shape(1, width, reduced), channels, 1, 1, norm=False, bias=True),
    ]
    by_row, by_column = gates[0].out_shape.elements, gates[1].out_shape.elements
    pooled = rows.out_shape.elements
    return [
        rows,
        *holding([columns], pooled),
        *holding([reduce], shape.elements),
        *holding(gates[:1], shape.elements + gates[1].in_shape.elements),
        *holding(gates[1:], shape.elements + by_row),
        *holding([elementwise("ca_scale_h", shape, shape.elements + by_row)], by_column),
        elementwise("ca_scale_w", shape, shape.elements + by_column),
    ]
