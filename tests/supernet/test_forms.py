"""Supernets over other forms than UIB stages: every network equals the stand-alone one with its slices of weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flax import nnx

from nas.errors import InvalidInput
from nas.ops import FAMILIES, Head, Shape
from nas.ops.conv import ConvChoices, SeparableConvChoices
from nas.ops.fused_ib import FusedIBChoices
from nas.ops.inverted_residual import COORDINATE, InvertedResidualChoices
from nas.ops.log_mel import LogMelChoices
from nas.ops.mixconv import MixConvChoices
from nas.ops.tucker import TuckerChoices
from nas.ops.uib import UIBChoices
from nas.space.choices import Absent, Narrowed, Sequence, Switch
from nas.space.forms import Single, Stack, stack
from nas.space.staged import StagedSpace
from nas.supernet.inherit import inherited
from nas.supernet.supernet import Supernet, parameter_name, parameter_path, parameters
from tests.supernet.test_blocks import SPACES as OTHERS
from tests.support.slices import assert_equal_slices
from tests.support.tiny import HYBRID

STEM = Single("stem", ConvChoices(), filters=(4, 8), stride=2)
UIB = UIBChoices(((0, 3), (3, 3)), (2.0,))
RESIDUAL = InvertedResidualChoices((3, 5), (1, 2), (False, True), se_act=None, se_gate="sigmoid")
FUSED = FusedIBChoices((1.0, 2.0))
EITHER = Switch((FUSED, InvertedResidualChoices((3,), (2,)), UIB))
OPTIONAL = Sequence((UIB, Switch((Absent(), FusedIBChoices((1.0,))), name="more")))


def space(name: str, *stages: Stack | Single, **others: Any) -> StagedSpace:
    """Return a space of 8 px networks with a stem."""
    rest: dict[str, Any] = {"tail": (), "head": Head()} | others
    return StagedSpace(name, Shape(8, 8, 3), 3, (STEM, *stages), **rest)


SPACES = {
    "inverted-residuals": space("ir", stack("stage0", (8, 12), (1, 2, 3), RESIDUAL, stride=1)),
    "shared": space("shared", stack("stage0", (8,), (2, 3), RESIDUAL, stride=2, shared=True), head=Head(8)),
    "switch": space("switch", stack("stage0", (8, 12), (1, 2), EITHER, acts=("relu", "hswish"))),
    "sequence": space("sequence", stack("stage0", (8,), (1, 2), OPTIONAL), head=Head(8, hidden_norm=False)),
    "mixed": space(
        "mixed", stack("stage0", (8, 12), (1, 2), UIBChoices(((0, 3), (3, (3, 5)), ((3, 5, 7), 5)), (2.0, 4.0))),
        stack("stage1", (12,), (1,), SeparableConvChoices((3, (3, 5))), stride=1),
    ),
    "coordinate": space(
        "coordinate",
        stack("stage0", (8, 12), (1, 2), InvertedResidualChoices((3,), (2, 24), (False, True, COORDINATE)), stride=1),
        stack("stage1", (8,), (1,), MixConvChoices(((3, 5),), (2,), (False, COORDINATE)), stride=1),
    ),
    "evonorm": space(
        "evonorm", stack("stage0", (8, 12), (1, 2), UIB, acts=("relu", "evonorm_b0", "evonorm_s0")),
        stack("stage1", (12, 24), (1, 2), InvertedResidualChoices((3, 5), (1, 2)), acts=("evonorm_s0",), stride=1),
        stack(
            "stage2", (16,), (1, 2), Switch((FusedIBChoices((2.0,), (3, 5)), TuckerChoices((3,), (0.5,), (0.5, 1.0)))),
            stride=1, acts=("evonorm_b0", "evonorm_s0"),
        ),
        tail=(Single("features", ConvChoices((1,)), filters=(8, 40), acts=("evonorm_s0", "evonorm_b0")),),
    ),
    "strides": space(
        "strides", stack("stage0", (8,), (1, 2), UIB), stack("stage1", (12,), (1,), UIB),
        tail=(Single("features", ConvChoices((1,)), filters=(8, 16), acts=("relu6",)),),
        stride_patterns=((1, 2, 2, 1), (2, 2, 1, 1)),
    ),
}  # fmt: skip


EARS = LogMelChoices(8000, windows_ms=(4.0,), hops_ms=(2.0, 4.0), bands=(6,))
SPACES |= {
    "map": replace(
        space("map", stack("stage0", (8, 12), (1, 2), UIB)),
        stages=(Single("front", EARS, filters=(1,)), STEM, stack("stage0", (8, 12), (1, 2), UIB, stride=1)),
        input_shape=Shape(200, 1, 1),
    ),
    "bands": replace(
        space("bands", stack("stage0", (8,), (1, 2), UIB)),
        stages=(
            Single("front", replace(EARS, bands=(), layout="sequence"), filters=(6, 8)),
            stack("stage0", (8, 12), (1, 2), UIB, stride=1),
        ),
        input_shape=Shape(200, 1, 1),
    ),
}
INPUTS = {  # that are no square: maps, and sequences, which are one wide
    "switch": Shape(10, 1, 3), "sequence": Shape(6, 9, 3), "mixed": Shape(12, 1, 3), "coordinate": Shape(8, 5, 3),
    "evonorm": Shape(9, 1, 3),
}  # fmt: skip
SPACES |= {name: replace(SPACES[name], input_shape=shape) for name, shape in INPUTS.items()}


@pytest.mark.parametrize("buckets", [1, 3])
@pytest.mark.parametrize("name", SPACES)
def test_every_network_equals_its_slice(name: str, buckets: int) -> None:
    if buckets > 1 and name not in ("switch", "sequence"):
        pytest.skip("sizes of other blocks are those of test_supernet")
    # EvoNorm divides by the variances of few numbers: 2.2e-5 where a processor sums in another order.
    assert_equal_slices(SPACES[name], buckets, tolerance=1e-4 if name == "evonorm" else 2e-5)


@pytest.mark.parametrize("name", SPACES)
def test_names_of_parameters_are_paths(name: str) -> None:
    state = nnx.state(Supernet(SPACES[name], np.random.default_rng(0)), nnx.Param)
    for path, _ in nnx.to_flat_state(state):
        assert list(map(str, parameter_path(parameter_name(path)))) == list(map(str, path))


def test_a_fine_supernet_inherits_from_a_coarse_one_where_one_of_several_families_was_fixed() -> None:
    whole = SPACES["switch"]
    coarse = whole.coarse()
    fine = whole.fine(coarse.decode((0,) * len(coarse.decisions)))
    made = [parameters(Supernet(view, np.random.default_rng(seed))) for seed, view in enumerate((fine, coarse))]
    taken = inherited(*made)
    shared = [key for key in taken if key.startswith("stages.0.first.groups.0.0")]
    assert shared and all(key in made[1] for key in shared)
    assert {d.name for d in fine.decisions} == {"stage0.block0.op"}


def test_a_space_without_what_is_refused_keeps_the_names_of_its_options() -> None:
    whole = SPACES["switch"]
    left, dropped = whole.without(lambda op: op.tag == "fused_ib" or getattr(op, "act", "") == "hswish")
    assert {str(d.name): len(d.options) for d in left.decisions} == {
        "stem.filters": 2, "stage0.filters": 2, "stage0.depth": 2, "stage0.block0.op": 3, "stage0.block1.op": 3,
    }  # fmt: skip
    assert "stage0.act=hswish" in dropped and len(dropped) == 1 + 2 * 2
    arch = left.decode((1,) * len(left.decisions))
    assert whole.decode(whole.encode(arch)) == arch
    assert whole.without(lambda op: False) == (whole, ())


def test_narrowed_choices_offer_fewer_options_of_the_same_block() -> None:
    narrow = Narrowed.of(
        Narrowed.of(EITHER, {"op": EITHER.choices[0].options[:2]}), {"op": EITHER.choices[0].options[:1]}
    )
    assert (
        isinstance(narrow, Narrowed) and narrow.whole is EITHER and narrow.choices[0].options == (("fused_ib", 3, 1.0),)
    )


def test_groups_of_an_evonorm_behind_shared_channels_are_refused() -> None:
    mixed = UIBChoices(((0, (3, 5)),), (2.0,))
    with pytest.raises(InvalidInput, match="no EvoNorm-S0 behind kernel sizes that share channels"):
        Supernet(space("s0", stack("stage0", (8,), (1,), mixed, acts=("evonorm_s0",))), np.random.default_rng(0))
    assert_equal_slices(space("b0", stack("stage0", (8,), (1,), mixed, acts=("relu", "evonorm_b0"))), count=1)


def test_every_searchable_family_has_a_space_under_the_law() -> None:
    blocks = [b.position.block for s in (*SPACES.values(), *OTHERS.values(), HYBRID) for b in s.blocks]
    checked = {choices.tag for block in blocks for group in block.groups for choices in group}
    assert checked == {tag for tag, family in FAMILIES.items() if family.searchable is not None}
