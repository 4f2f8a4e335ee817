"""The reference networks: parameters and MACs to the digit, op by op against an outside implementation's tables."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.arch import ArchSpec
from nas.errors import InvalidInput, UnknownName
from nas.ops import UIB, Conv, Head, InvertedResidual, Kernel, MobileMQA, Shape
from nas.zoo import ZOO, mobilenet_v1, mobilenet_v2, reference

GOLDEN = Path(__file__).parents[2] / "shared" / "reference" / "golden"

# (name, resolution, parameters, MACs of convolutions, dense layers and attention products). MobileNetV4: our count of
# the tables of arXiv 2404.10518v2, equal to timm 1.0.31 (batch norm 2 per channel, 1,000 classes). V1 to V3: counts
# from timm, torchvision and keras.
COUNTS = [
    ("mobilenetv4-conv-s", 224, 3_774_024, 186_005_568),
    ("mobilenetv4-conv-m", 256, 9_715_512, 1_080_244_224),
    ("mobilenetv4-conv-l", 384, 32_590_864, 6_376_220_672),
    ("mobilenetv4-hybrid-m", 256, 11_074_648, 1_271_183_360),
    ("mobilenetv4-hybrid-m", 224, 11_074_648, 966_311_360),
    ("mobilenetv4-hybrid-l", 384, 37_764_624, 7_711_877_120),
    ("mobilenetv1", 224, 4_231_976, 568_740_352),
    ("mobilenetv2", 224, 3_504_872, 300_774_272),
    ("mobilenetv3-large", 224, 5_483_032, 216_589_760),
    ("mobilenetv3-small", 224, 2_542_856, 56_510_400),
]
OUTSIDE = {
    "mobilenetv4-conv-s": "mobilenetv4_conv_small",
    "mobilenetv4-hybrid-m": "mobilenetv4_hybrid_medium",
    "mobilenetv1": "mobilenetv1_100",
    "mobilenetv2": "mobilenetv2_100",
    "mobilenetv3-large": "mobilenetv3_large_100",
}


@pytest.mark.parametrize(("name", "resolution", "params", "macs"), COUNTS)
def test_counts_are_the_published_ones_to_the_digit(name: str, resolution: int, params: int, macs: int) -> None:
    arch = reference(name, resolution=resolution)
    assert (arch.params, arch.macs) == (params, macs)


def test_every_network_is_counted_at_its_own_resolution() -> None:
    assert {(name, reference(name).input_shape.height) for name in ZOO} <= {(name, side) for name, side, _, _ in COUNTS}


@pytest.mark.parametrize("name", ZOO)
def test_json_gives_the_spec_back(name: str) -> None:
    arch = reference(name)
    again = ArchSpec.from_dict(json.loads(json.dumps(arch.to_dict())))
    assert again == arch and again.digest == arch.digest and again.name == name == arch.name


@pytest.mark.parametrize("name", OUTSIDE)
def test_kernels_equal_the_op_table_of_the_outside_network(name: str) -> None:
    path = GOLDEN / f"{OUTSIDE[name]}.json"
    if not path.exists():
        pytest.skip("../shared is not beside the project: no outside op tables")
    table = json.loads(path.read_text())
    kernels = [kernel for kernel in reference(name, resolution=224).kernels if kernel.macs and kernel.kind != "matmul"]
    assert [_ours(kernel) for kernel in kernels] == [_theirs(op) for op in table["ops"]]


def _ours(kernel: Kernel) -> tuple[object, ...]:
    before, after = kernel.in_shape, kernel.out_shape
    groups = before.channels if kernel.kind == "depthwise" else 1
    sides = ((before.height, before.width), (after.height, after.width))
    return (before.channels, after.channels, kernel.kernel, kernel.stride, groups, *sides, kernel.macs)


def _theirs(op: dict[str, object]) -> tuple[object, ...]:
    if op["op"] == "linear":
        return (op["cin"], op["cout"], 1, 1, 1, (1, 1), (1, 1), op["macs"])
    kernel, stride, before, after = (tuple(op[key]) for key in ("k", "s", "hin", "hout"))  # type: ignore[arg-type]
    assert kernel[0] == kernel[1] and stride[0] == stride[1]
    return (op["cin"], op["cout"], kernel[0], stride[0], op["g"], before, after, op["macs"])


def test_options_of_a_reference_reach_the_spec() -> None:
    arch = reference("mobilenetv2", resolution=96, channels=1, num_classes=10)
    assert arch.input_shape == Shape(96, 96, 1)
    assert arch.num_classes == 10
    assert arch.last_map == Shape(3, 3, 1280)


# Millions of MACs at 224 pixels. V1: arXiv 1704.04861, Tab. 6. V2: tensorflow/models, slim/nets/mobilenet/README.md.
WIDTHS = [(mobilenet_v1, width, macs) for width, macs in ((1.0, 569), (0.75, 325), (0.5, 149), (0.25, 41))]
WIDTHS += [(mobilenet_v2, width, macs) for width, macs in ((0.35, 59), (0.5, 97), (0.75, 209), (1.3, 509), (1.4, 582))]


@pytest.mark.parametrize(("build", "width", "millions"), WIDTHS)
def test_width_multipliers_give_the_published_macs(
    build: Callable[[Shape, int, float], ArchSpec], width: float, millions: int
) -> None:
    assert abs(build(Shape(224, 224, 3), 1000, width).macs / 1e6 - millions) < 1


def test_last_layer_of_v2_never_shrinks() -> None:
    assert mobilenet_v2(Shape(224, 224, 3), 1000, 0.35).last_map.channels == 1280
    assert mobilenet_v2(Shape(224, 224, 3), 1000, 1.4).last_map.channels == 1792


def test_width_of_zero_is_refused() -> None:
    with pytest.raises(InvalidInput, match="width multiplier must lie above 0"):
        mobilenet_v2(Shape(224, 224, 3), 1000, 0)


def test_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(
        UnknownName, match="unknown reference network 'mobilenetv4-conv-x'; did you mean 'mobilenetv4-conv"
    ):
        reference("mobilenetv4-conv-x")


def peak(op: object, shape: Shape) -> int:
    return ArchSpec(shape, ((op,),), Head(), 2).peak_activation_elements  # type: ignore[arg-type]


def test_peak_activation_of_hand_computed_examples() -> None:
    shape = Shape(4, 4, 2)  # 32 elements
    assert peak(Conv(3), shape) == 32 + 48
    # IB with expansion to 6 channels (96 elements): expanding holds 32 + 96; the middle depthwise reads and writes 96
    # and the residual needs the input, 32
    assert peak(UIB(2, 6, 0, 3), shape) == 96 + 96
    assert peak(UIB(2, 6, 0, 3, residual=True), shape) == 96 + 96 + 32
    # the same with squeeze-excite: scaling reads 96 + 6 (the gate), writes 96, and the residual waits
    assert peak(InvertedResidual(2, 6, 3, 1, "relu", 4, True), shape) == 96 + 6 + 96 + 32
    # attention, 2 heads: queries 16 x 2 x 4 = 128, keys and values 16 x 4 = 64 each, scores 16 x 16 x 2 = 512; softmax
    # reads and writes the scores while values and the residual's input wait
    assert peak(MobileMQA(2, 4, 4, residual=True), shape) == 512 + 512 + 64 + 32
