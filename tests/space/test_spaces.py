"""Each registered space: both views have decisions, a proxy keeps options apart, published networks are members."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from latency_models.target import load_target
from nas.arch import ArchSpec
from nas.ops import Conv, Head, InvertedResidual, MixConv, Op, SeparableConv, Shape
from nas.registry import SPACES, load
from nas.space.cost_table import PARAMS, PEAK_ACTIVATION, compile_table
from nas.space.forms import around
from nas.space.staged import StagedSpace
from nas.zoo import reference

STAGED = {name: space for name in SPACES if isinstance(space := load("space", SPACES, name), StagedSpace)}


@pytest.mark.parametrize("name", STAGED)
def test_both_stages_of_a_search_have_something_to_decide(name: str) -> None:
    space, rng = STAGED[name], np.random.default_rng(0)
    coarse = space.coarse()
    fine = space.fine(coarse.decode(tuple(coarse.sample(rng, 1)[0])))
    assert coarse.decisions and fine.decisions
    assert not {decision.name for decision in coarse.decisions} & {decision.name for decision in fine.decisions}


@pytest.mark.parametrize("name", STAGED)
def test_the_usual_proxy_keeps_options_of_filters_and_strides_apart(name: str) -> None:
    for resolution in (8, 16):
        assert STAGED[name].proxy(resolution, 0.25).width == 0.25


@pytest.mark.parametrize("name", STAGED)
def test_the_first_line_of_a_space_names_its_paper(name: str) -> None:
    from importlib import import_module

    first = (import_module(SPACES[name].partition(":")[0]).__doc__ or "").partition("\n")[0]
    assert "arxiv.org/abs/" in first or "arXiv " in first


def separable(strides: tuple[int, ...], blocks: str, width: float) -> ArchSpec:
    """Return a network of separable convolutions: a stem of 32 channels, and (channels, stride) as text."""
    pairs = [tuple(map(int, block.split(","))) for block in blocks.split()]
    ops = [SeparableConv(int(channels * width), 3, stride, "relu") for channels, stride in pairs]
    counts = [sum(channels == c for channels, _ in pairs) for c in dict.fromkeys(c for c, _ in pairs)]
    rows, at = list[tuple[Op, ...]](), 0
    for count in counts:
        rows, at = [*rows, tuple(ops[at : at + count])], at + count
    stem = Conv(int(32 * width), 3, strides[0], "relu")
    return ArchSpec(Shape(224, 224, 3), ((stem,), *rows), Head(), 1000, name="fd-mobilenet")


FD = "64,2 128,2 128,1 256,2 256,1 512,2 512,1 512,1 512,1 512,1 1024,1"  # arXiv 1802.03750, Tab. 1
V1 = "64,1 128,2 128,1 256,2 256,1 512,2 512,1 512,1 512,1 512,1 512,1 1024,2 1024,1"  # arXiv 1704.04861, Tab. 1


@pytest.mark.parametrize(
    ("blocks", "width", "params", "macs"),
    # Counts of the authors' code, clavichord93/FD-MobileNet; of MobileNetV1 as in the paper.
    [(FD, 1.0, 2_901_288, 144_489_728), (FD, 0.5, 993_928, 40_132_224), (V1, 1.0, 4_231_976, 568_740_352)],
)
def test_fast_and_slow_downsampling_are_options_of_one_space(blocks: str, width: float, params: int, macs: int) -> None:
    space = STAGED["fd-mobilenet"]
    arch = separable((2,), blocks, width)
    assert (arch.params, arch.macs) == (params, macs)
    assert space.decode(space.encode(arch)) == arch
    assert space.value(space.encode(arch), "strides") == ((2, 2, 2, 2, 2, 1) if blocks == FD else (2, 1, 2, 2, 2, 2))


def test_a_stage_of_mnasnet_is_one_decision_for_all_of_its_layers() -> None:
    space = STAGED["mnasnet"]
    assert {d.name.partition(".")[2] for d in space.decisions} == {"filters", "depth", "op"}
    sampled = [space.decode(tuple(g)) for g in space.sample(np.random.default_rng(0), 20)]
    for stage in (stage for arch in sampled for stage in arch.stages[1:-1]):
        assert len({type(op) for op in stage}) == 1
        assert len({(op.kernel_size, getattr(op, "residual", False)) for op in stage[1:]}) <= 1  # type: ignore[attr-defined]
    ops = {type(op) for arch in sampled for stage in arch.stages[1:-1] for op in stage}
    assert ops == {Conv, InvertedResidual}
    skipping = [op.residual for arch in sampled for op in arch.stages[3][1:] if isinstance(op, InvertedResidual)]
    assert {True, False} == set(skipping)


def test_mixnet_mixes_up_to_four_kernel_sizes() -> None:
    space = STAGED["mixnet"]
    sizes = {
        op.kernel_sizes
        for g in space.sample(np.random.default_rng(0), 20)
        for stage in space.decode(tuple(g)).stages
        for op in stage
        if isinstance(op, MixConv)
    }
    assert sizes == {(3,), (3, 5), (3, 5, 7), (3, 5, 7, 9)}


def test_mobilenetv3_has_the_blocks_of_its_network_but_for_their_widths() -> None:
    space = STAGED["mobilenetv3"]
    options = {decision.name: decision.options for decision in space.decisions}
    for number, stage in enumerate(reference("mobilenetv3-large").stages[2:-1]):
        blocks: list[Any] = list(stage)
        assert len(blocks) in options[f"stage{number}.depth"]
        assert {block.act for block in blocks} <= set(options[f"stage{number}.act"])
        assert {block.kernel_size for block in blocks} <= set(options[f"stage{number}.block0.kernel"])
        assert {block.se_channels > 0 for block in blocks} <= set(options[f"stage{number}.block0.excited"])
        assert any(abs(blocks[0].out_channels - n) <= 8 for n in options[f"stage{number}.filters"])


def test_the_smallest_of_tiny_fit_small_microcontrollers() -> None:
    space = STAGED["tiny"]
    peak, params = compile_table(space, PEAK_ACTIVATION), compile_table(space, PARAMS)
    smallest = space.decode(params.minimum()[1])
    assert smallest.params < 20_000 and smallest.peak_activation_elements < 20 * 1024  # a byte each in int8
    assert params.maximum()[0] < 700_000 and peak.maximum()[0] < 64 * 1024
    for target in ("cortex-m7", "cortex-m55"):
        table = compile_table(space, load_target(target).model())
        assert 0 < table.minimum()[0] < table.maximum()[0]


def test_options_around_a_width_are_distinct_multiples() -> None:
    assert around(24, (0.75, 1.0, 1.25)) == (16, 32)
    assert around(160, (0.75, 1.0, 1.25)) == (128, 160, 208)
    assert around(4, (1.0,), step=8) == (8,)


def test_a_skip_is_a_choice_of_its_own() -> None:
    space = STAGED["mnasnet"]
    with_skip = space.genotype_of({"stage3.op": ("inverted_residual", 5, 6, True, True), "stage3.depth": 4})
    without = space.genotype_of({"stage3.op": ("inverted_residual", 5, 6, True, False), "stage3.depth": 4})
    ours, theirs = (space.decode(genotype).stages[4] for genotype in (with_skip, without))
    assert [replace(op, residual=False) for op in ours] == list(theirs) and ours != theirs


@pytest.mark.parametrize("name", ["audio-2d", "audio-1d"])
def test_audio_spaces_begin_at_microcontrollers(name: str) -> None:
    space = STAGED[name]
    params, memory = (compile_table(space, cost) for cost in (PARAMS, PEAK_ACTIVATION))
    assert params.minimum()[0] < 10_000 and memory.minimum()[0] < 16 * 1024 < memory.maximum()[0]
    smallest = space.decode(memory.minimum()[1])
    assert smallest.params < 10_000 and smallest.peak_activation_elements < 16 * 1024
    assert space.proxy_width and space.proxy((16, 16) if name == "audio-2d" else (98, 1), space.proxy_width).width <= 1
