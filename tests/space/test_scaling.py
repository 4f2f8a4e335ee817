"""A network at another resolution is that network: strides stay, more pixels never cost less; proxies drop some."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latency_models.target import load_target
from nas.arch import ArchSpec
from nas.cli import main
from nas.ops import Conv, Head, Shape, Size
from nas.registry import SPACES, load
from nas.runs.plan import reference_network
from nas.runs.settings import SearchConfig
from nas.space.compound import CompoundScale, scaled
from nas.space.scaling import drop_early_strides, dropped_strides_note, scale_down, strides_of, with_input
from nas.space.staged import StagedSpace
from nas.supernet.presets import PRESETS, Preset, proxy_size
from nas.zoo import ZOO, reference

COSTS = {
    "MACs": lambda arch: arch.macs,
    "activations": lambda arch: arch.peak_activation_elements,
    "latency": load_target("pixel6-cpu").model().predict_ms,
}
TIMM_MACS = {  # timm 1.0.31, counted by forward hooks
    ("mobilenetv4-conv-s", 96): 36_212_288,
    ("mobilenetv2", 96): 56_289_152,
    ("mobilenetv2@1.0,96px", 96): 56_289_152,
}


def shown(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main([*argv, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(("name", "side"), TIMM_MACS)
def test_a_reference_network_at_96_px_is_that_network(name: str, side: int, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [] if "@" in name else ["--resolution", str(side)]
    assert shown(capsys, "describe", name, *flags, "--target", "cortex-m7")["macs"] == TIMM_MACS[name, side]


@given(st.sampled_from(list(ZOO)), st.integers(16, 260))
@settings(max_examples=25, deadline=None)
def test_a_resolution_in_the_name_is_the_same_as_one_beside_it(name: str, side: int) -> None:
    network = reference(name)
    assert with_input(network, side, 3, 1000) == reference(f"{name}@{side}px")
    assert strides_of(with_input(network, side, 3, 1000)) == strides_of(network)


@given(st.sampled_from(list(ZOO)), st.integers(16, 250), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_more_pixels_never_cost_less_in_the_zoo(name: str, side: int, more: int) -> None:
    small, large = (with_input(reference(name), px, 3, 1000) for px in (side, side + more))
    assert all(cost(small) <= cost(large) for cost in COSTS.values())


@given(st.sampled_from([*SPACES]), st.integers(0, 9999), st.integers(16, 250), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_more_pixels_never_cost_less_in_a_space(name: str, seed: int, side: int, more: int) -> None:
    space = load("space", SPACES, name)
    (genotype,) = space.sample(np.random.default_rng(seed), 1)
    small, large = (space.with_input(px, 3, 10).decode(genotype) for px in (side, side + more))
    assert all(cost(small) <= cost(large) for cost in COSTS.values())
    assert small == with_input(space.decode(genotype), side, 3, 10)


sizes = st.tuples(st.integers(4, 300), st.integers(4, 300) | st.just(1)).map(lambda sides: Size(*sides))
STRIDES = st.lists(st.sampled_from((1, 2, 4)), max_size=6)


@given(st.integers(4, 300), STRIDES)
def test_a_square_size_is_the_same_as_its_side(side: int, strides: list[int]) -> None:
    assert drop_early_strides(Size(side, side), strides) == drop_early_strides(side, strides)
    assert drop_early_strides(f"{side}x{side}", strides) == drop_early_strides(side, strides)


@given(sizes, STRIDES)
def test_a_proxy_keeps_the_strides_that_both_of_its_sides_bear(size: Size, strides: list[int]) -> None:
    """The later strides, as many as leave 4 px on each side, of a sequence 4 steps."""
    kept = drop_early_strides(size, strides)
    assert all(k in (1, s) for k, s in zip(kept, strides, strict=True))
    last = Shape(*size, 1)
    for stride in kept:
        last = last.strided(stride, 1)
    assert last.height >= 4 and (last.width >= 4 or size.width == last.width == 1)
    if not size.is_sequence:
        assert kept == drop_early_strides(min(size), strides)


@given(sizes, st.floats(0.25, 4))
def test_no_scaling_changes_the_proportions(size: Size, times: float) -> None:
    arch = ArchSpec(Shape(*size, 3), ((Conv(4, 3, 2), Conv(8, 3, 2)),), Head(), 5)
    assert scale_down(arch, size, 0.5).input_shape == arch.input_shape
    assert with_input(arch, size, 3, 5) == arch
    assume(round(size.height * times) >= 4 and (size.is_sequence or round(size.width * times) >= 4))
    larger = scaled(arch, CompoundScale(1.0, 1.0, times)).input_shape.size
    assert larger.is_sequence == size.is_sequence
    assert all(abs(after - before * times) <= 0.5 for before, after in zip(size, larger, strict=True) if before > 1)


@given(st.integers(1, 300), st.sampled_from(tuple(PRESETS.values())))
def test_proxies_of_square_images_are_those_of_before(side: int, preset: Preset) -> None:
    """The formula of release 0.1: the data's side, but at least 16 px, and at most the preset's."""
    found = proxy_size(preset, Size(side, side), Size(224, 224), None, images=True)
    assert found == Size.of(min(max(side, 16), preset.proxy_resolution))


@given(sizes, st.sampled_from(tuple(PRESETS.values())), st.booleans())
def test_proxies_of_other_data_never_lose_what_strides_need(size: Size, preset: Preset, images: bool) -> None:
    """Images keep their proportions, maps are scaled apart on each side, sequences keep a square's positions."""
    if size.is_sequence and images:
        return
    proxy, most = proxy_size(preset, size, size, None, images=images), preset.proxy_resolution
    if size.is_sequence:
        assert proxy == (min(size.height, most**2), 1)
        return
    assert not proxy.is_sequence and proxy_size(preset, size, size, "9x8", images=images) == (9, 8)
    if images:
        assert abs(proxy.height * size.width / size.height - proxy.width) <= 1 + size.width / size.height
        assert min(proxy) == min(max(min(size), 16), most)
    else:
        assert proxy == tuple(min(side, most) for side in size)


def test_a_proxy_drops_early_strides_and_says_so() -> None:
    network = reference("mobilenetv4-conv-s")
    proxy = scale_down(network, 16, 0.25)
    assert proxy.final_feature_map[:2] == (4, 4) and proxy.name == "mobilenetv4-conv-s-proxy-16px"
    assert dropped_strides_note(strides_of(network), strides_of(proxy)) == ", 3 early strides set to 1"
    assert scale_down(proxy, 8, 1.0).name == "mobilenetv4-conv-s-proxy-8px"
    assert dropped_strides_note(strides_of(network), strides_of(scale_down(network, 128, 1.0))) == ""


def test_the_dropping_of_strides_can_be_asked_for_and_is_what_older_runs_had() -> None:
    """At commit dda5e84 a Conv-S at 96 px had a first stride of 1: a run of that release is resumed so."""
    older = SearchConfig.from_dict({"resolution": 96})
    assert older.drop_strides and not SearchConfig(resolution=96).drop_strides
    shape = Shape(96, 96, 3)
    assert reference_network(shape, 1000, older.drop_strides).macs == 137_322_752
    assert reference_network(shape, 1000).macs == 36_212_288
    space: StagedSpace = load("space", SPACES, "uib")
    genotype = space.sample(np.random.default_rng(0), 1)[0]
    dropped = space.with_input(64, 3, 10, drop_strides=True)
    assert dropped.strides == (1, *space.strides[1:])
    assert dropped.decode(genotype) == with_input(space.decode(genotype), 64, 3, 10, drop_strides=True)
    # Above 96 px no stride goes, so that most older runs are as a new one is.
    large = Shape(97, 97, 3)
    assert reference_network(large, 1000, older.drop_strides) == reference_network(large, 1000)
