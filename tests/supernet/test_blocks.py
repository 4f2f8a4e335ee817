"""Searchable forms of the block families: each network of a small space equals the stand-alone one with its slices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nas.errors import InvalidInput
from nas.ops import Head, MixConv, Shape
from nas.ops.choices import Choices, Site, Values
from nas.ops.conv import ConvChoices, SeparableConvChoices
from nas.ops.fused_ib import FusedIBChoices
from nas.ops.mixconv import MixConvChoices
from nas.ops.tucker import TuckerChoices
from nas.space.choices import Absent, Sequence, Switch
from nas.space.forms import Single, Stack, stack
from nas.space.staged import StagedSpace
from nas.supernet.blocks.base import share_of_channels
from nas.supernet.inherit import inherited, network_weights
from nas.supernet.supernet import Params, Supernet, parameters, with_parameters
from tests.support.slices import assert_equal_slices

STEM = Single("stem", ConvChoices((1, 3, 5)), filters=(5, 8), stride=2)
MIXED = MixConvChoices(((3,), (3, 5), (5, 3, 7)), (1, 3), (False, True))
FUSED = FusedIBChoices((1.0, 2.0), (3, 5))
EXCITED = FusedIBChoices((1.0, 2.0), (3, 5), (False, True), se_act=None)
TUCKER = TuckerChoices((3, 5), (0.25, 1.0), (0.5, 1.0))
SEPARABLE = SeparableConvChoices((3, 5))


def space(name: str, *stages: Stack | Single, stem: Single = STEM) -> StagedSpace:
    """Return a space of 8 px networks with a stem whose kernel size is a choice."""
    return StagedSpace(name, Shape(8, 8, 3), 3, (stem, *stages), padding="same")


SPACES = {
    "mixconv": space("mixconv", stack("stage0", (8, 12), (1, 3), MIXED, acts=("swish",))),
    "fused": space("fused", Single("one", FUSED, (8,)), stack("stage0", (8, 12), (1, 2), FUSED)),
    "separable": space("separable", Single("one", SEPARABLE, (8, 12)), stack("stage0", (8, 12), (1, 2), SEPARABLE)),
    "excited": space("excited", stack("stage0", (8, 12), (1, 2), EXCITED, acts=("relu", "swish"))),
    "tucker": space(
        "tucker",
        Single("one", TUCKER, (16, 24)),
        stack("stage0", (16, 24), (1, 2), TUCKER),
        stem=Single("stem", ConvChoices(), filters=(16, 24), stride=2),  # ranks are multiples of 8
    ),
    "optional": space(
        "optional",
        stack("stage0", (16,), (1, 2), Sequence((SEPARABLE, Switch((Absent(), TUCKER), name="then"))), stride=1),
    ),
}


def made(these: StagedSpace, seed: int = 0) -> tuple["nnx.GraphDef[Supernet]", Params]:
    """Return a supernet over a space, with weights of which none is 0."""
    model, rng = Supernet(these, np.random.default_rng(seed)), np.random.default_rng(seed + 1)
    params = {
        name: value + jnp.asarray(0.1 * rng.standard_normal(value.shape), value.dtype)
        for name, value in parameters(model).items()
    }
    return nnx.graphdef(model), params


@pytest.mark.parametrize(("name", "buckets"), [*((name, 1) for name in SPACES), ("fused", 3)])
def test_every_network_equals_its_slice(name: str, buckets: int) -> None:
    assert_equal_slices(SPACES[name], buckets, count=3, tolerance=1e-5)


def test_every_option_of_a_kernel_size_runs_its_own_weights() -> None:
    these = SPACES["fused"]
    graph, params = made(these)
    x = jnp.asarray(np.random.default_rng(2).standard_normal((2, 8, 8, 3), np.float32))
    slopes = jax.grad(lambda params, genotype: (with_parameters(graph, params)(x, genotype) ** 2).sum())
    for option, (used, idle) in enumerate((("3", "5"), ("5", "3"))):
        genotype = these.genotype_of({"one.kernel": (3, 5)[option], "stage0.block0.kernel": (3, 5)[option]})
        found = slopes(params, jnp.asarray(genotype))
        for layer in ("one_expand.units", "stages.0.first.expand.units"):
            assert np.abs(found[f"{layer}.{used}.weight"]).max() > 0
            assert not np.abs(found[f"{layer}.{idle}.weight"]).any()


def test_a_smaller_supernet_inherits_the_shares_of_every_kernel_size() -> None:
    whole = SPACES["mixconv"]
    arch = whole.coarse().decode((0,) * len(whole.coarse().decisions))
    fine = whole.fine(arch)
    (_, large), (_, fresh) = made(whole), made(fine, 5)
    taken = inherited(fresh, large)
    values = {"stage0.block0.kernels": (5, 3, 7), "stage0.block0.excited": True}
    ours, theirs = fine.genotype_of(values), whole.encode(fine.decode(fine.genotype_of(values)))
    handed, expected = network_weights(taken, fine, ours), network_weights(large, whole, theirs)
    assert handed.keys() == expected.keys() and all((handed[key] == expected[key]).all() for key in handed)
    shapes = {key: value.shape for key, value in handed.items() if "depthwise" in key and key.endswith("weight")}
    assert sorted(shapes.values()) == [(3, 3, 1), (5, 5, 3), (7, 7, 1)]  # of 5 channels


def test_a_kernel_size_is_inherited_where_the_other_supernet_has_one_or_several() -> None:
    several = space("several", stack("stage0", (8,), (1, 2), FusedIBChoices((2.0,), (3, 5))))
    (_, many), (_, few) = made(several), made(several.coarse(), 5)
    down, up = inherited(few, many), inherited(many, few)
    layer = "stages.0.rest.expand"
    for tensor in ("weight", "scale", "bias"):
        assert (down[f"{layer}.{tensor}"] == many[f"{layer}.units.3.{tensor}"]).all()
        assert (up[f"{layer}.units.3.{tensor}"] == few[f"{layer}.{tensor}"]).all()
        assert (up[f"{layer}.units.5.{tensor}"] == many[f"{layer}.units.5.{tensor}"]).all()


def test_channels_fall_in_equal_shares_with_the_remainder_in_the_first() -> None:
    assert share_of_channels(8, 3, 10).tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert share_of_channels(jnp.asarray(7), 2, 8).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert share_of_channels(5, 1, 5).tolist() == [0] * 5


class Grouped(Choices):
    """MixNet blocks with grouped 1x1 convolutions, which no supernet takes."""

    @property
    def choices(self) -> tuple[Any, ...]:
        return ()

    def build(self, values: Values, site: Site) -> MixConv:
        return MixConv(site.out_channels, 8, (3, 5), project_groups=2)


def test_what_no_searchable_form_runs_is_refused_in_one_line() -> None:
    grouped = StagedSpace("grouped", Shape(8, 8, 3), 3, (STEM, Single("one", Grouped(), (8,))), head=Head())
    with pytest.raises(InvalidInput, match=r"takes no mixconv with project_groups 2; leave it at 1"):
        Supernet(grouped, np.random.default_rng(0))
