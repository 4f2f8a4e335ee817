"""Sizes of inputs: how they are written and read, and what a network over sequences costs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.nn.network import weight_shapes
from nas.ops import FAMILIES, Conv, Head, SeparableConv, Shape, Size
from nas.ops.size import LARGEST_SIDE
from tests.ops.members import MEMBERS, input_of

sides = st.integers(1, LARGEST_SIDE)


@given(sides, sides)
def test_a_size_is_read_as_it_is_written(height: int, width: int) -> None:
    size = Size(height, width)
    assert Size.of(str(size)) == Size.of(size.json) == Size.of((height, width)) == size
    assert (size.json == height) == (height == width) and Size.of(height) == Size(height, height)
    assert size.text == (f"{height} steps" if width == 1 < height else f"{size} px")


@pytest.mark.parametrize("value", [0, -3, True, 2.0, "", "0", "96x", "x96", "96x0", "96 x 96", "9e2", (1, 2, 3), None])
def test_what_is_no_size_is_refused_in_one_line(value: Any) -> None:
    with pytest.raises(InvalidInput, match="a resolution must be") as error:
        Size.of(value)
    assert "\n" not in str(error.value)


def test_windows_over_a_sequence_are_one_wide() -> None:
    """By hand: 20 steps, 3 x 1 from 4 to 6 channels with stride 2, then 5 x 1 depthwise and 1 x 1 to 8."""
    arch = ArchSpec(Shape(20, 1, 4), ((Conv(6, 3, 2), SeparableConv(8, 5)),), Head(), 5)
    assert arch.macs == 10 * (3 * 4 * 6) + 10 * (5 * 6) + 10 * (6 * 8) + 8 * 5
    assert arch.params == (72 + 12) + (30 + 12) + (48 + 16) + (40 + 5)
    assert [kernel.window for kernel in arch.kernels[:3]] == [(3, 1), (5, 1), (1, 1)]
    assert weight_shapes(arch)["0.0.conv.weight"] == (3, 1, 4, 6)
    tall = replace(arch, input_shape=Shape(20, 2, 4))  # a map two wide at first, and one wide behind the stride
    assert [kernel.window for kernel in tall.kernels[:3]] == [(3, 3), (5, 5), (1, 1)]


@pytest.mark.parametrize("tag", sorted(set(FAMILIES) - {"time_band_conv"}))  # which takes no sequences
def test_every_family_has_the_parameters_over_a_sequence_that_are_counted(tag: str) -> None:
    op = MEMBERS[tag]
    arch = ArchSpec(input_of(op, Shape(9, 1, 4)), ((op,),), Head(), 5)
    shapes = {name: shape for name, shape in weight_shapes(arch).items() if not name.endswith((".mean", ".var"))}
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == arch.params
    assert op.is_front_end or arch.params <= replace(arch, input_shape=Shape(9, 2, 4)).params
