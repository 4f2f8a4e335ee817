"""What families let a search choose: squeeze-excites behind an EvoNorm, and the options that a coarse search fixes."""

import pytest

from nas.ops import FusedIB, InvertedResidual, MixConv
from nas.ops.choices import Choices, Site
from nas.ops.fields import EVONORMS
from nas.ops.fused_ib import FusedIBChoices
from nas.ops.inverted_residual import InvertedResidualChoices
from nas.ops.mixconv import MixConvChoices
from nas.ops.uib import UIBChoices
from nas.space.choices import coarse

EXCITED = (
    FusedIBChoices((2.0,), squeeze_excite=(True,), se_act=None),
    InvertedResidualChoices((3,), (2,), (True,), se_act=None),
    MixConvChoices(((3, 5),), (2,), (True,)),
)


@pytest.mark.parametrize("block", EXCITED, ids=lambda block: block.tag)
def test_a_squeeze_excite_has_the_activation_of_its_block_and_relu_beside_an_evonorm(block: Choices) -> None:
    (values,) = block.combinations()
    expected = {"swish": "swish", **dict.fromkeys(EVONORMS, "relu")}
    for act in ("swish", "evonorm_b0", "evonorm_s0"):
        op = block.build(values, Site(16, 16, act=act))
        assert isinstance(op, FusedIB | InvertedResidual | MixConv)
        assert (op.act, op.se_act, op.se_channels) == (act, expected[act], 4)


@pytest.mark.parametrize(
    ("block", "fixed"),
    [
        (UIBChoices(), {"dw": (0, 3), "expansion": 4.0}),
        (UIBChoices(((3, 3), (5, 5)), (2.0, 6.0)), {"dw": (3, 3), "expansion": 2.0}),
        (InvertedResidualChoices((5, 3), (3, 4, 6)), {"kernel": 5, "expansion": 4, "excited": False}),
        (MixConvChoices(((3,), (3, 5)), (3, 4, 6)), {"kernels": (3,), "expansion": 4, "excited": False}),
        (FusedIBChoices((4, 8), (5, 3)), {"kernel": 5, "expansion": 4}),
    ],
    ids=["uib", "uib without IB k3 and 4", "inverted residual", "mixconv", "fused"],
)
def test_a_coarse_search_fixes_options_that_the_block_offers(block: Choices, fixed: dict[str, object]) -> None:
    assert dict(block.coarse_values) == fixed
    assert [choice.options for choice in coarse(block).choices] == [(option,) for option in fixed.values()]
