"""Costs of layers, by hand: Tucker convolutions, coordinate attention, EvoNorm, mixed kernels; and what tables say."""

import numpy as np
import pytest

from nas.arch import ArchSpec
from nas.data import build_dataset
from nas.data.dataset import Labelled
from nas.errors import InvalidInput
from nas.nn.network import get_weights, random_network, weight_shapes
from nas.ops import (
    UIB,
    Conv,
    FusedIB,
    Head,
    InvertedResidual,
    Kernel,
    MixConv,
    MobileMQA,
    Op,
    SeparableConv,
    Shape,
    Tucker,
)
from nas.training.step import estimate_statistics, image_splits

SHAPE = Shape(6, 4, 8)


def kernels(op: Op) -> dict[str, Kernel]:
    return {kernel.name: kernel for kernel in op.lower(SHAPE)}


def test_tucker_is_three_convolutions_of_its_ranks() -> None:
    op = Tucker(16, 2, 6, 5, 2)
    found = kernels(op)
    assert [kernel.macs for kernel in found.values()] == [24 * 8 * 2, 6 * 25 * 2 * 6, 6 * 6 * 16]
    assert [kernel.params for kernel in found.values()] == [16 + 4, 300 + 12, 96 + 32]
    assert op.out_shape(SHAPE) == (3, 2, 16) and found["mix"].stride == 2 and found["mix"].kind == "conv"
    held = kernels(Tucker(8, 2, 6, residual=True))
    assert [held[name].held for name in ("compress", "mix", "project")] == [0, SHAPE.elements, SHAPE.elements]


def test_coordinate_attention_runs_on_the_sides_of_the_map() -> None:
    found = kernels(InvertedResidual(8, 0, ca_channels=3))
    names = ["ca_pool_h", "ca_pool_w", "ca_reduce", "ca_height", "ca_width", "ca_scale_h", "ca_scale_w"]
    assert list(found) == ["depthwise", *names, "project"]
    assert [found[name].macs for name in names] == [0, 0, 10 * 8 * 3, 6 * 3 * 8, 4 * 3 * 8, 0, 0]
    assert [found[name].params for name in names] == [0, 0, 24 + 3 + 6, 24 + 8, 24 + 8, 0, 0]
    assert [found[name].out_shape[:2] for name in names[:2]] == [(6, 1), (1, 4)]
    assert all(found[name].live_elements >= SHAPE.elements for name in names)  # the map waits for its gates


def test_evonorm_is_a_reduction_and_an_elementwise_kernel_behind_the_convolution() -> None:
    plain, b0, s0 = (kernels(Conv(12, act=act)) for act in ("relu", "evonorm_b0", "evonorm_s0"))
    assert list(b0) == list(s0) == ["conv", "conv_var", "conv_evonorm"] and list(plain) == ["conv"]
    assert b0["conv"].params == s0["conv"].params == plain["conv"].params + 12  # v
    assert b0["conv_var"].out_shape == (1, 1, 12) and s0["conv_var"].out_shape == (1, 1, 4)  # gcd(12, 32) groups
    assert (b0["conv_evonorm"].weights, s0["conv_evonorm"].weights) == (48, 36)
    assert b0["conv_var"].reads == b0["conv_evonorm"].writes == 24 * 12


def test_a_mixed_depthwise_costs_what_its_shares_cost() -> None:
    found = kernels(UIB(8, 10, 3, 5, start_mix=(5,), middle_mix=(3, 7)))
    assert [(name, kernel.macs) for name, kernel in found.items() if "dw" in name] == [
        ("start_dw.0", 24 * 9 * 4), ("start_dw.1", 24 * 25 * 4),
        ("middle_dw.0", 24 * 25 * 4), ("middle_dw.1", 24 * 9 * 3), ("middle_dw.2", 24 * 49 * 3),
    ]  # fmt: skip
    one = {name: (kernel.macs, kernel.params) for name, kernel in kernels(MixConv(8, 16, (3,))).items()}
    assert one == {name: (kernel.macs, kernel.params) for name, kernel in kernels(InvertedResidual(8, 16)).items()}


TEXTS = [
    (Tucker(16, 2, 6, 5, 2), "tucker k5, 8-2-6-16, s2"),
    (UIB(8, 10, 3, 5, start_mix=(5,), ca_channels=4), "UIB ExtraDW k3+k5+k5, 8-10-8, coordinate attention"),
    (FusedIB(8, 16, residual=True, se_channels=4), "fused ib k3, 8-16-8, squeeze-excite, skip"),
    (SeparableConv(8, mix=(5,), act="evonorm_b0"), "separable conv k3+k5, 8-8, EvoNorm-B0"),
    (MobileMQA(4, 8, 8), "mobile mqa, 4 heads, key 8, value 8, kv stride 1"),
]


@pytest.mark.parametrize(("op", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_tables_say_what_an_op_consists_of(op: Op, text: str) -> None:
    assert op.describe(SHAPE) == text


def test_fields_that_contradict_each_other_are_refused_in_one_line() -> None:
    for make, match in (
        (lambda: UIB(8, 8, se_channels=2, ca_channels=2), "squeeze-excite and coordinate attention at once"),
        (lambda: UIB(8, 8, 0, 3, start_mix=(3,)), "uib.start_mix needs start_dw"),
        (lambda: SeparableConv(8, act="evonorm_s0", se_channels=2), "in front of its activation"),
        (lambda: InvertedResidual(8, 8, se_act="evonorm_s0"), "se_act must be one of none, relu"),
        (lambda: Head(8, act="evonorm_b0"), "head.act must be one of none, relu"),
        (lambda: SeparableConv(8, mix=(2,)), "mix must be odd"),
    ):
        with pytest.raises(InvalidInput, match=match) as error:
            make()
        assert "\n" not in str(error.value)
    with pytest.raises(InvalidInput, match="cannot be split into 9 parts"):
        SeparableConv(8, mix=(3,) * 8).lower(SHAPE)


def test_statistics_of_evonorm_are_estimated_as_those_that_it_stores() -> None:
    arch = ArchSpec(Shape(8, 8, 1), ((Conv(4, act="evonorm_b0"), Conv(4, act="evonorm_s0"), Conv(4)),), Head(), 2)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (32, 8, 8, 1)).astype(np.uint8), np.arange(32, dtype=np.int32) % 2
    data = build_dataset("noise", Labelled(x, y), Labelled(x, y))
    weights = {name: value for name, value in get_weights(random_network(arch, 0)).items() if "mean" not in name}
    found = estimate_statistics(arch, weights, image_splits(data)[0], 16)
    assert set(found) == set(weight_shapes(arch))
    assert {name for name in found if name.endswith((".mean", ".var"))} == {
        "0.0.conv.var",
        "0.2.conv.mean",
        "0.2.conv.var",
    }
    assert (np.asarray(found["0.0.conv.var"]) != 1).all()
