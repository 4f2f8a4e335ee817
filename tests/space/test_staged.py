"""Laws of staged spaces: genotypes and specs round trip, cost terms are the network, proxies commute with decoding."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import InvalidInput
from nas.ops import Shape
from nas.registry import SPACES, load
from nas.space.scaling import drop_early_strides, scale_down, with_input
from nas.space.staged import StagedSpace
from nas.zoo import reference
from tests.support.tiny import SPACE as TINY

REGISTERED = [load("space", SPACES, name) for name in SPACES]
SPACES_UNDER_TEST = [TINY, *(space for space in REGISTERED if isinstance(space, StagedSpace))]


@st.composite
def members(draw: Any) -> tuple[StagedSpace, tuple[int, ...]]:
    """A space (joint, coarse or fine) and one of its canonical genotypes."""
    base: StagedSpace = draw(st.sampled_from(SPACES_UNDER_TEST))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    coarse = base.coarse()
    view = draw(st.sampled_from(["joint", "coarse", "fine"]))
    spaces = {"joint": base, "coarse": coarse, "fine": base.fine(coarse.decode(tuple(coarse.sample(rng, 1)[0])))}
    space = spaces[view]
    return space, tuple(int(g) for g in space.sample(rng, 1)[0])


@st.composite
def members_of_any_space(draw: Any) -> tuple[Any, tuple[int, ...]]:
    """A registered space, with a supernet or without, and one of its canonical genotypes."""
    space = draw(st.sampled_from(REGISTERED))
    (genotype,) = space.sample(np.random.default_rng(draw(st.integers(0, 10_000))), 1)
    return space, tuple(int(g) for g in genotype)


@given(members() | members_of_any_space())
def test_encode_inverts_decode(member: tuple[Any, tuple[int, ...]]) -> None:
    space, genotype = member
    assert space.encode(space.decode(genotype)) == genotype


@given(members() | members_of_any_space())
def test_cost_terms_are_the_kernels_of_the_network(member: tuple[Any, tuple[int, ...]]) -> None:
    space, genotype = member
    kernels = [kernel for term in space.cost_terms for kernel in term.kernels(genotype)]
    whole = space.decode(genotype).kernels
    assert [replace(kernel, name="") for kernel in kernels] == [replace(kernel, name="") for kernel in whole]


@given(members(), st.sampled_from([16, 28, 32, 64]), st.sampled_from([0.25, 0.5, 1.0]))
def test_proxy_commutes_with_decode(member: tuple[StagedSpace, tuple[int, ...]], resolution: int, width: float) -> None:
    space, genotype = member
    if space.name.partition("/")[0] == TINY.name and space.num_classes == TINY.num_classes and width == 0.25:
        return  # its options of 8 channels would collapse, which test_proxy_keeps_options_apart checks
    arch = space.decode(genotype)
    proxy = space.proxy(resolution, width).decode(genotype)
    assert proxy == scale_down(arch, resolution, width)
    assert min(proxy.final_feature_map[:2]) >= 4
    assert [op.tag for stage in proxy.stages for op in stage] == [op.tag for stage in arch.stages for op in stage]


def test_size_counts_distinct_architectures() -> None:
    space = TINY.coarse()
    sizes = [range(len(decision.options)) for decision in space.decisions]
    grid = np.stack(np.meshgrid(*sizes, indexing="ij"), -1).reshape(-1, len(sizes))
    assert len({space.decode(tuple(g)) for g in space.canonical(grid)}) == space.size() == 2 * 2 * 2 * 6 * 6


def test_a_strided_block_always_has_a_depthwise() -> None:
    for space in (load("space", SPACES, "uib"), load("space", SPACES, "uib_smoke"), TINY):
        first = [decision for decision in space.decisions if decision.name.endswith(".block0.dw")]
        assert len(first) == len(space.stages) - 2 and all((0, 0) not in decision.options for decision in first)
    for space in (load("space", SPACES, "uib"), TINY):  # with all there are
        counts = {d.place.block == 0: len(d.options) for d in space.decisions if d.place and d.name.endswith(".dw")}
        assert counts == {True: 8, False: 9}


def test_fine_space_holds_the_coarse_winner() -> None:
    coarse = TINY.coarse()
    winner = coarse.decode(tuple(len(d.options) - 1 for d in coarse.decisions))
    fine = TINY.fine(winner)
    assert fine.decode(fine.encode(winner)) == winner
    assert {d.name.rpartition(".")[2] for d in fine.decisions} == {"dw"}


def test_uib_represents_every_block_type_of_the_conv_models() -> None:
    uib: StagedSpace = load("space", SPACES, "uib")
    offered = {dw for decision in uib.decisions if decision.name.endswith(".dw") for dw in decision.options}
    used = {
        (op.start_dw, op.middle_dw)
        for name in ("mobilenetv4-conv-s", "mobilenetv4-conv-m", "mobilenetv4-conv-l")
        for _, op, _ in reference(name).iter_ops()
        if op.tag == "uib"
    }
    assert used <= offered and len(used) >= 7


@pytest.mark.parametrize(
    ("resolution", "kept"),
    [(224, (2, 2, 2, 2, 2)), (128, (2,) * 5), (64, (1, 2, 2, 2, 2)), (28, (1, 1, 2, 2, 2)), (16, (1, 1, 1, 2, 2))],
)
def test_early_strides_go_until_the_final_feature_map_has_four_pixels(resolution: int, kept: tuple[int, ...]) -> None:
    assert drop_early_strides(resolution, (2,) * 5) == kept


def test_reference_networks_are_rebuilt_for_small_images() -> None:
    small = with_input(reference("mobilenetv4-conv-s"), 32, 3, 10)
    assert small.final_feature_map[:2] == (1, 1) and small.input_shape == Shape(32, 32, 3) and small.num_classes == 10
    whole = reference("mobilenetv4-conv-s")
    assert with_input(whole, 224, 3, 1000) == whole


def test_proxy_keeps_options_apart() -> None:
    with pytest.raises(InvalidInput, match=r"proxy width 0\.25 makes options of stem\.filters"):
        TINY.proxy(16, 0.25)
    uib: StagedSpace = load("space", SPACES, "uib")
    with pytest.raises(InvalidInput, match=r"proxy width 0\.1 makes options"):
        uib.proxy(16, 0.1)
    with pytest.raises(InvalidInput, match="must lie above 0"):
        uib.proxy(16, 0.0)


def test_foreign_architectures_and_genotypes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="is no architecture of the space 'tiny'"):
        TINY.encode(reference("mobilenetv2"))
    with pytest.raises(InvalidInput, match="a genotype of 'tiny' has"):
        TINY.decode((0, 1))
