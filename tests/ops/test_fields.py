"""Roles of fields: what they refuse, and that an op without them cannot be written."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import UIB, Conv, FusedIB, Head, InvertedResidual, MixConv, MobileMQA, Op, Shape, fields

REFUSED: list[tuple[Any, str]] = [
    (lambda: Conv(0), "conv.out_channels must be at least 1, got 0"),
    (lambda: Conv(4, 2), "conv.kernel must be odd, got 2"),
    (lambda: Conv(4, 3, 0), "conv.stride must be at least 1, got 0"),
    (lambda: Conv(4, act="tanh"),  # type: ignore[arg-type]
     "conv.act must be one of none, relu, relu6, hswish, gelu, swish"),
    (lambda: UIB(4, 0), "uib.expanded_channels must be at least 1, got 0"),
    (lambda: UIB(4, 8, 4), "uib.start_dw must be odd, got 4"),
    (lambda: UIB(4, 8, -1), "uib.start_dw must be at least 0, got -1"),
    (lambda: FusedIB(4, 0), "fused_ib.expanded_channels must be at least 1, got 0"),
    (lambda: InvertedResidual(4, -1), "inverted_residual.expanded_channels must be at least 0, got -1"),
    (lambda: InvertedResidual(4, 8, se_gate="tanh"),  # type: ignore[arg-type]
     "inverted_residual.se_gate must be one of hard_sigmoid, sigmoid"),
    (lambda: MixConv(4, 8, ()), "mixconv.kernel_sizes must be odd and at least one, got []"),
    (lambda: MixConv(4, 8, (3, 4)), "mixconv.kernel_sizes must be odd and at least one, got [3, 4]"),
    (lambda: MobileMQA(0, 4, 4), "mobile_mqa.heads must be at least 1, got 0"),
    (lambda: Head(-1), "head.hidden must be at least 0, got -1"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_value_outside_of_its_role_is_refused_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        make()
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_a_field_without_a_role_is_an_error_when_the_class_is_made() -> None:
    for default in ({}, {"inner": 4}):
        with pytest.raises(TypeError, match=r"Lost.inner has no role; write it as 'inner: ... = fields.channels\(\)'"):
            type("Lost", (Op,), {"tag": "lost", "__annotations__": {"tag": ClassVar[str], "inner": int}, **default})


def test_types_in_json_follow_the_role_and_not_the_annotation() -> None:
    @dataclass(frozen=True)
    class Late(Op):
        tag: ClassVar[str] = "late"
        width: "int" = fields.channels(4)  # noqa: RUF009
        wide: "bool" = fields.flag(False)  # noqa: RUF009

    assert [role.json_type for role in Late.roles().values()] == [int, bool]
    data = ArchSpec(Shape(4, 4, 4), ((Conv(4),),), Head(), 2).to_dict()
    for key, value, kind in (("out_channels", True, "int"), ("stride", 1.5, "int"), ("act", 3, "str")):
        data["stages"][0][0] = {"op": "conv", "out_channels": 4, key: value}
        with pytest.raises(InvalidInput, match=f"{key} must be of type {kind}"):
            ArchSpec.from_dict(data)
