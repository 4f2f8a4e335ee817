"""`ArchSpec`: its JSON form comes back as it was, and a form that cannot be used is answered in one line."""

import json
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from nas.arch import ArchSpec, load_arch, save_arch
from nas.errors import InvalidInput
from nas.ops import UIB, Conv, FusedIB, Head, InvertedResidual, Kernel, MixConv, MobileMQA, Shape
from nas.zoo import reference
from tests.support.strategies import archs


@given(archs())
def test_json_form_gives_the_spec_back(arch: ArchSpec) -> None:
    again = ArchSpec.from_dict(json.loads(json.dumps(arch.to_dict())))
    assert again == arch
    assert again.name == arch.name
    assert again.digest == arch.digest
    assert hash(again) == hash(arch)
    assert again.kernels == arch.kernels


@given(archs(), archs())
def test_digests_are_equal_exactly_where_specs_are(one: ArchSpec, other: ArchSpec) -> None:
    assert (one.digest == other.digest) == (one == other)


@given(archs())
def test_name_takes_no_part_in_the_digest_but_everything_else_does(arch: ArchSpec) -> None:
    assert replace(arch, name="another").digest == arch.digest
    assert replace(arch, num_classes=arch.num_classes + 1).digest != arch.digest
    assert replace(arch, norm_eps=arch.norm_eps / 2).digest != arch.digest
    assert replace(arch, head=replace(arch.head, hidden=arch.head.hidden + 1)).digest != arch.digest


def maps(kernels: list[Kernel], name: str) -> tuple[Shape, Shape]:
    """Input and output of the kernel `name`, or of its numbered parts together."""
    found = [kernel for kernel in kernels if re.fullmatch(rf"{re.escape(name)}(\.\d+)?", kernel.name)]
    taken, given = sum(k.in_shape.channels for k in found), sum(k.out_shape.channels for k in found)
    return found[0].in_shape._replace(channels=taken), found[0].out_shape._replace(channels=given)


@given(archs())
def test_kernels_are_a_chain_with_distinct_names(arch: ArchSpec) -> None:
    names = [kernel.name for kernel in arch.kernels]
    assert len(set(names)) == len(names)
    assert arch.kernels[-1].out_shape == Shape(1, 1, arch.num_classes)
    for position, op, shape in arch.iter_ops():
        kernels = op.lower(shape)
        first, last = (re.sub(r"\.\d+$", "", kernel.name) for kernel in (kernels[0], kernels[-1]))
        assert maps(kernels, first)[0] == shape, position
        assert maps(kernels, last)[1] == op.out_shape(shape), position
    assert arch.peak_activation_elements >= arch.input_shape.elements


@given(archs())
def test_live_elements_never_fall_below_the_maps_of_a_grouped_kernel(arch: ArchSpec) -> None:
    for _, op, shape in arch.iter_ops():
        kernels = op.lower(shape)
        for kernel in kernels:
            whole = maps(kernels, re.sub(r"\.\d+$", "", kernel.name))
            if kernel.kind in ("pointwise", "depthwise"):
                assert kernel.live_elements >= sum(side.elements for side in whole)


# Digests of the first release: a spec that a user saved keeps its name in every later one.
DIGESTS = {
    "mobilenetv2": "43ce945520389ab5adc2dc0ae099843401492d2327544240e618b42f738a38a0",
    "mobilenetv3-large": "cdf66ba85e8c008338acde158a5eb9e13b05a16bd76d40c7d2ab2d85395b4d8c",
    "mobilenetv4-hybrid-m": "8bef1694c083d89decf974920b10b77190e21435f693f20727fed0fe09e37bff",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_digests_of_the_first_release_hold(name: str) -> None:
    assert reference(name).digest == DIGESTS[name]


def test_a_field_that_came_later_is_in_the_json_only_where_it_is_not_the_default() -> None:
    plain, gated = InvertedResidual(4, 8, se_channels=2), InvertedResidual(4, 8, se_channels=2, se_gate="sigmoid")
    assert not {"se_act", "se_gate"} & set(plain.to_dict())
    assert gated.to_dict() == plain.to_dict() | {"se_gate": "sigmoid"}
    old = ArchSpec(Shape(8, 8, 3), ((plain,),), Head(), 10)
    body = old.to_dict()
    body["stages"][0][0]["se_gate"] = "hard_sigmoid"  # said, though it need not be
    assert ArchSpec.from_dict(body).digest == old.digest != replace(old, stages=((gated,),)).digest


def test_file_gives_the_spec_back_with_its_name(tmp_path: Path) -> None:
    arch = reference("mobilenetv4-hybrid-m")
    save_arch(arch, tmp_path / "arch.json")
    assert load_arch(tmp_path / "arch.json") == arch
    assert load_arch(tmp_path / "arch.json").name == "mobilenetv4-hybrid-m"


def test_spec_inside_a_result_is_found(tmp_path: Path) -> None:
    arch = reference("mobilenetv1")
    (tmp_path / "best.json").write_text(json.dumps({"schema": "nas.result", "arch": arch.to_dict()}))
    assert load_arch(tmp_path / "best.json") == arch


SPEC = ArchSpec(
    Shape(8, 8, 3), ((Conv(4), UIB(4, 8, residual=True)), (UIB(8, 16, stride=2), MixConv(8, 8, (3, 5)))), Head(), 10
).to_dict()
DELETE = object()
CORRUPTIONS: list[tuple[tuple[Any, ...], Any, str]] = [
    (("schema",), "nas.other", "the field 'schema' must be 'nas.archspec'"),
    (("schema",), DELETE, "the field 'schema' must be 'nas.archspec'"),
    (("version",), 2, "spec version 2 is not supported; this release reads version 1"),
    (("padding",), DELETE, "the spec lacks the field 'padding'"),
    (("paddin",), "same", "unknown field 'paddin'; did you mean 'padding'"),
    (("padding",), "valid", "padding must be 'symmetric' or 'same'"),
    (("norm_eps",), 0, "norm_eps must lie between 0 and 1"),
    (("norm_eps",), "1e-5", "norm_eps must be of type float"),
    (("name",), 3, "name must be of type str"),
    (("num_classes",), True, "num_classes must be of type int"),
    (("num_classes",), 0, "must be positive"),
    (("input_shape",), [8, 8], "input_shape must be three whole numbers"),
    (("input_shape",), [8, 8, 3.0], "input_shape must be three whole numbers"),
    (("input_shape",), [8, 0, 3], "must be positive"),
    (("stages",), [], "at least one op"),
    (("stages",), [[], []], "at least one op"),
    (("stages",), {"0": []}, "stages must be a list of lists of ops"),
    (("stages", 0), {"op": "conv"}, "stages must be a list of lists of ops"),
    (("stages", 0, 1), "uib", "op 0.1 must be an object with a field 'op'"),
    (("stages", 0, 1, "op"), "uibb", "op 0.1: unknown op 'uibb'; did you mean 'uib'"),
    (("stages", 0, 1, "op"), 7, "op 0.1 must be an object with a field 'op'"),
    (("stages", 1, 1, "kernel_sizes"), 3, "kernel_sizes must be a list of whole numbers, got 3"),
    (("stages", 1, 1, "kernel_sizes"), [3, 5.0], "kernel_sizes must be a list of whole numbers"),
    (("stages", 1, 1, "kernel_sizes"), [4], "kernel_sizes must be odd"),
    (("stages", 1, 1, "se_gate"), "relu", "se_gate must be one of hard_sigmoid, sigmoid"),
    (("stages", 0, 0, "out_channels"), DELETE, "op 0.0 lacks the field 'out_channels'"),
    (("stages", 0, 0, "out_chanels"), 4, "op 0.0: unknown field 'out_chanels'; did you mean 'out_channels'"),
    (("stages", 0, 0, "out_channels"), "4", "op 0.0: out_channels must be of type int"),
    (("stages", 0, 0, "out_channels"), 0, "op 0.0: conv.out_channels must be at least 1"),
    (("stages", 0, 0, "kernel"), 4, "op 0.0: conv.kernel must be odd"),
    (("stages", 0, 0, "act"), "relux", "op 0.0: conv.act must be one of"),
    (("stages", 0, 0, "act"), None, "op 0.0: act must be of type str"),
    (("stages", 0, 1, "residual"), 1, "op 0.1: residual must be of type bool"),
    (("stages", 0, 1, "stride"), 2, "op 0.1: uib has a residual, so its output"),
    (("stages", 0, 1, "out_channels"), 6, "op 0.1: uib has a residual, so its output"),
    (("stages", 1, 0, "middle_dw"), 0, "op 1.0: uib with stride 2 needs a depthwise"),
    (("stages", 1, 0, "expanded_channels"), 0, "op 1.0: uib.expanded_channels must be at least 1"),
    (("head",), [], "the head must be an object"),
    (("head", "hidden"), -1, "head.hidden must be at least 0"),
    (("head", "hiden"), 1, "the head: unknown field 'hiden'; did you mean 'hidden'"),
]


@pytest.mark.parametrize(("path", "value", "message"), CORRUPTIONS)
def test_corrupt_form_is_answered_in_one_line(tmp_path: Path, path: tuple[Any, ...], value: Any, message: str) -> None:
    data = deepcopy(SPEC)
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    if value is DELETE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    file = tmp_path / "arch.json"
    file.write_text(json.dumps(data))
    with pytest.raises(InvalidInput) as caught:
        load_arch(file)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"nas.archspec"', "\x00\x01", "NaN"])
def test_file_without_a_spec_is_answered_in_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "arch.json"
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load_arch(file)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Conv(0), "conv.out_channels must be at least 1, got 0"),
        (lambda: Conv(4, kernel_size=2), "conv.kernel must be odd, got 2"),
        (lambda: UIB(4, 8, start_dw=4), "uib.start_dw must be odd, got 4"),
        (lambda: FusedIB(4, 0), "fused_ib.expanded_channels must be at least 1"),
        (lambda: InvertedResidual(4, 8, se_gate="relu"), "se_gate must be one of hard_sigmoid, sigmoid, got 'relu'"),
        (lambda: MixConv(4, 8, ()), "mixconv.kernel_sizes must be odd and at least one"),
        (lambda: MixConv(4, 8, (3, 4)), "mixconv.kernel_sizes must be odd and at least one"),
        (lambda: MixConv(4, 2, (3, 5, 7)).lower(Shape(4, 4, 4)), "2 channels cannot be split into 3 parts"),
        (lambda: MixConv(4, 8, expand_groups=5).lower(Shape(4, 4, 4)), "4 channels cannot be split into 5 parts"),
        (lambda: InvertedResidual(4, -1), "inverted_residual.expanded_channels must be at least 0, got -1"),
        (lambda: MobileMQA(0, 4, 4), "mobile_mqa.heads must be at least 1, got 0"),
    ],
)
def test_impossible_op_is_refused_where_it_is_made(build: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        build()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("num_classes",), 10**200, "parameters; at most 2,147,483,647 are supported"),
        (("input_shape",), [2**31, 2**31, 3], "1.384e+19 elements in the input; at most"),
        (("input_shape",), [40_000, 40_000, 1], "elements in feature maps; at most"),
        (("stages",), [[{"op": "conv", "out_channels": 4}] * 10_001], "1e+04 ops; at most 10,000"),
        (("stages", 1, 1, "kernel_sizes"), [3] * 65, "kernel_sizes must have at most 64 entries, got 65"),
    ],
)
def test_a_spec_that_no_machine_holds_is_refused_by_its_size(path: tuple[Any, ...], value: Any, message: str) -> None:
    data = json.loads(json.dumps(SPEC))
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(InvalidInput) as caught:
        ArchSpec.from_dict(data)
    assert message in str(caught.value)
