"""Compound scaling: EfficientNet-B1 to B7 from B0, laws over the zoo and the spaces, and the phi for a latency."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_models.latency_error import error_of
from latency_models.target import load_target
from nas import api
from nas.arch import ArchSpec, load_arch
from nas.errors import InvalidInput
from nas.ops import UIB, Conv, FusedIB, Head, InvertedResidual, MobileMQA, SeparableConv, Shape
from nas.registry import SPACES, load
from nas.space.compound import Coefficients, CompoundScale, compound_scaled, largest_phi, scaled
from nas.zoo import ZOO, reference
from nas.zoo.efficientnet import RELEASED
from tests.cli.test_cli import modules_after

TIMM_PARAMS = {  # timm 1.0.31, as in tests/zoo
    "efficientnet-b0": 5_288_548, "efficientnet-b1": 7_794_184, "efficientnet-b2": 9_109_994,
    "efficientnet-b3": 12_233_232, "efficientnet-b4": 19_341_616, "efficientnet-b5": 30_389_784,
    "efficientnet-b6": 43_040_704, "efficientnet-b7": 66_347_960,
}  # fmt: skip
SMALL = ArchSpec(
    Shape(32, 24, 3),
    ((Conv(16, 3, 2), SeparableConv(16)), (UIB(24, 64, 3, 5, 2), UIB(24, 72, residual=True), MobileMQA(2, 8, 8))),
    Head(64), 10, name="small",
)  # fmt: skip
ONCE = CompoundScale(1.0, 1.0, 1.0)


# --- the authors' networks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TIMM_PARAMS)
def test_b0_scaled_by_the_released_multipliers_is_that_network(name: str) -> None:
    """Multipliers of tensorflow/tpu, models/official/efficientnet; whole specs are equal, so MACs and latencies too."""
    by = RELEASED[name]
    found = scaled(reference("efficientnet-b0"), CompoundScale(by.depth, by.width, by.resolution / 224))
    assert found == reference(name) and found.params == TIMM_PARAMS[name]


def test_macs_of_b0_grow_as_the_paper_says_but_for_rounding_up() -> None:
    """Section 3.3: by about 2^phi; repeats are rounded up, so that small steps add whole blocks."""
    b0 = reference("efficientnet-b0")
    for phi in (1, 2, 3, 4):
        growth = compound_scaled(b0, phi).macs / b0.macs
        assert Coefficients().macs ** phi * 0.95 <= growth <= 2**phi * 1.35


# --- laws -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_phi_0_is_the_network_and_others_are_networks(name: str) -> None:
    arch = reference(name)
    assert compound_scaled(arch, 0) == arch and compound_scaled(arch, 0).name == f"{name}-phi0"
    sizes = [compound_scaled(arch, phi) for phi in (-2, -1, 0, 1)]
    for cost in (lambda one: one.macs, lambda one: one.params, lambda one: one.input_shape.height):
        counts = [cost(one) for one in sizes]
        assert counts == sorted(counts) and counts[0] < counts[2] < counts[3]
    assert {(one.num_classes, one.input_shape.channels) for one in sizes} == {(1000, 3)}


@given(st.sampled_from(["uib", "ofa_mbv3"]), st.integers(0, 9999), st.floats(-4, 4))
@settings(max_examples=20, deadline=None)
def test_any_network_of_a_space_scales_and_stays_a_network(name: str, seed: int, phi: float) -> None:
    space = load("space", SPACES, name)
    genotype = [seed * (i + 7) % len(decision.options) for i, decision in enumerate(space.decisions)]
    arch = space.decode(genotype)
    larger = compound_scaled(arch, phi)
    assert ArchSpec.from_dict(larger.to_dict()) == larger
    assert (larger.macs >= arch.macs) == (phi >= 0) or larger.macs == arch.macs
    assert len(larger.stages) == len(arch.stages) and all(larger.stages)


def test_depth_repeats_the_last_residual_blocks_in_their_order_and_takes_them_from_behind() -> None:
    stem, stage = SMALL.stages
    deeper = scaled(SMALL, replace(ONCE, depth=1.5)).stages
    assert deeper == (stem, (*stage, *stage[1:]))  # 3 blocks become ceil(4.5) = 5; convolutions stay single
    assert scaled(SMALL, replace(ONCE, depth=1.01)).stages[1] == (*stage, stage[-1])
    assert scaled(SMALL, replace(ONCE, depth=0.5)).stages[1] == stage[:2]
    assert scaled(SMALL, replace(ONCE, depth=0.01)).stages[1] == stage[:1]  # what changes the shape stays


@pytest.mark.parametrize(
    ("block", "following"),
    [
        (InvertedResidual(16, 192, 5, 2, se_channels=8), InvertedResidual(16, 96, 5, 1, se_channels=4, residual=True)),
        (InvertedResidual(16, 0, se_channels=8), InvertedResidual(16, 0, se_channels=4, residual=True)),
        (FusedIB(64, 128, 3, 2), FusedIB(64, 256, 3, 1, residual=True)),
        (UIB(32, 96, 0, 3, 2), UIB(32, 96, 0, 3, 1, residual=True)),
        (UIB(24, 101), UIB(24, 72, residual=True)),  # 75.75 is no whole number
    ],
)
def test_a_single_block_is_followed_by_what_its_authors_would_repeat(block: UIB, following: UIB) -> None:
    arch = ArchSpec(Shape(16, 16, 3), ((Conv(32),), (block,)), Head(), 10)
    assert scaled(arch, replace(ONCE, depth=2)).stages[1] == (block, following)


def test_runs_of_one_shape_are_repeated_each_even_within_a_stage() -> None:
    first, second = InvertedResidual(8, 16, residual=True), InvertedResidual(16, 32)
    arch = ArchSpec(Shape(16, 16, 3), ((Conv(8), first, second, replace(second, residual=True)),), Head(), 10)
    again = replace(second, residual=True)
    assert scaled(arch, replace(ONCE, depth=1.5)).stages == ((Conv(8), first, first, second, again, again),)


def test_width_goes_to_multiples_of_8_and_inside_a_block_in_proportion_to_its_input() -> None:
    stem, (first, second, attention) = scaled(SMALL, replace(ONCE, width=1.5)).stages
    assert [op.out_channels for op in stem] == [24, 24]  # type: ignore[attr-defined]
    assert (first, second) == (UIB(40, 96, 3, 5, 2), UIB(40, 120, residual=True))  # 24 * 1.5 = 36, 72 * 40 / 24
    assert attention == MobileMQA(2, 16, 16) and scaled(SMALL, replace(ONCE, width=1.5)).head == Head(96)
    odd = ArchSpec(Shape(8, 8, 3), ((UIB(3, 6, residual=True),),), Head(), 10)
    assert scaled(odd, replace(ONCE, width=4)).stages == odd.stages  # a residual keeps the channels of the image


def test_resolution_is_rounded_on_each_side() -> None:
    assert scaled(SMALL, replace(ONCE, resolution=1.15)).input_shape == (37, 28, 3)
    with pytest.raises(InvalidInput, match="would have 4 x 3 px; it must have at least 4"):
        scaled(SMALL, replace(ONCE, resolution=0.13))


# --- the phi for a latency --------------------------------------------------------------------------------------------


@given(st.sampled_from(["mobilenetv4-conv-s", "mobilenetv2", "efficientnet-b0"]), st.floats(0.3, 8))
@settings(max_examples=10, deadline=None)
def test_the_phi_for_a_latency_is_the_largest_that_keeps_it(name: str, times: float) -> None:
    arch, model = reference(name), load_target("rpi5").model()
    budget = times * model.predict_ms(arch)
    phi = largest_phi(arch, model, budget)
    assert phi == round(phi, 2) and (phi >= 0) == (times >= 1)
    assert model.predict_ms(compound_scaled(arch, phi)) <= budget < model.predict_ms(compound_scaled(arch, phi + 0.01))


def test_a_latency_out_of_reach_is_one_line() -> None:
    arch, model = reference("mobilenetv4-conv-s"), load_target("edgetpu").model()
    with pytest.raises(InvalidInput, match=r"scaled down to phi -10 still takes 0\.6\d* ms, more than the 0\.1 ms"):
        largest_phi(arch, model, 0.1)
    with pytest.raises(InvalidInput, match="takes less than 1e\\+09 ms even at phi 10"):
        largest_phi(arch, model, 1e9)
    tiny = ArchSpec(Shape(8, 8, 3), ((Conv(8),),), Head(), 10, name="tiny")  # 4 px are reached at phi -4.96
    with pytest.raises(InvalidInput, match=r"scaled down to phi -5\.\d+ still takes"):
        largest_phi(tiny, model, 0.1)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phi", [math.nan, math.inf, -math.inf, 10.1, -11])
def test_a_bad_phi_is_one_line(phi: float) -> None:
    with pytest.raises(InvalidInput, match="phi must lie between -10 and 10, got"):
        compound_scaled(SMALL, phi)


@pytest.mark.parametrize("value", [0.0, 0.99, -1.0, 4.01, math.nan, math.inf])
@pytest.mark.parametrize("name", ["depth", "width", "resolution"])
def test_a_bad_coefficient_is_one_line(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=f"{name} must lie between 1 and 4, got"):
        Coefficients(**{name: value})


def test_coefficients_that_scale_nothing_and_networks_of_no_machine_are_refused() -> None:
    with pytest.raises(InvalidInput, match="all 1, which scales nothing"):
        Coefficients(1, 1, 1)
    with pytest.raises(InvalidInput, match=r"at most .* are supported"):
        compound_scaled(reference("efficientnet-b7"), 10)


# --- the command and Python ------------------------------------------------------------------------------------------


def test_the_command_prints_both_and_writes_a_spec(
    out: Callable[..., str], refusal: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = " ".join(out("scale", "mobilenetv4-conv-s", "--phi", "2", "--target", "rpi5", "-o", "o.json").split())
    found = load_arch(Path("o.json"))
    assert found == api.scale("mobilenetv4-conv-s", 2) and found.name == "mobilenetv4-conv-s-phi2"
    assert "depth x 1.44, width x 1.21, resolution x 1.32" in shown and "296x296x3" in shown and "649 M" in shown
    assert json.loads(Path("o.json").read_text())["metadata"]["phi"] == "2"
    assert "o.json exists" in refusal("scale", "mobilenetv4-conv-s", "--phi", "2", "-o", "o.json")


def test_the_error_of_a_calibrated_target_stands_beside_its_latency(out: Callable[..., str]) -> None:
    words = ("scale", "efficientnet-b0", "--phi", "-1", "--target", "zcu102-dpu")
    known = error_of(load_target("zcu102-dpu"), compound_scaled(reference("efficientnet-b0"), -1)).percent
    assert known and 1.3484 <= known < 1.5  # the calibration's, and a little as it is unlike the measured networks
    assert f"± {known:.1f} %" in out(*words) and "±" not in out(*words[:-1], "cortex-m7")  # a lower bound has no error
    row = json.loads(out(*words, "--json"))
    assert row["after"]["interval_90_percent"] == pytest.approx(known) and row["phi"] == -1
    assert ArchSpec.from_dict(row["arch"]) == compound_scaled(reference("efficientnet-b0"), -1)
    beyond = json.loads(out("scale", "efficientnet-b0", "--phi", "3", "--target", "zcu102-dpu", "--json"))
    assert beyond["after"]["interval_90_percent"] is None  # outside of what was measured: the table has a caution


def test_a_latency_chooses_phi(out: Callable[..., str], refusal: Callable[..., str]) -> None:
    words = ("scale", "mobilenetv4-conv-s", "--latency", "30ms", "--target", "rpi5")
    row = json.loads(out(*words, "--json"))
    assert 27 < row["after"]["latency_ms"] <= 30 and row["before"]["latency_ms"] < 20
    by_hand = json.loads(out("scale", "mobilenetv4-conv-s", f"--phi={row['phi']}", "--target", "rpi5", "--json"))
    assert by_hand["after"] == row["after"]
    assert "needs a device with milliseconds" in refusal("scale", "mobilenetv2", "--latency", "3", "--ridge-point", "9")
    relative = json.loads(out("scale", "mobilenetv2", "--phi", "1", "--ridge-point", "9", "--json"))
    assert relative["after"]["latency_ratio"] > relative["before"]["latency_ratio"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "say how far to scale: --phi 2, or --latency 4ms"),
        ("--phi 1 --latency 3ms", "--phi and --latency exclude each other; give one"),
        ("--phi nan", "--phi: must be a finite number, got 'nan'"),
        ("--phi 11", "phi must lie between -10 and 10, got 11"),
        ("--phi 1 --depth 0.5", "depth must lie between 1 and 4, got 0.5"),
        ("--latency 0", "must be positive and finite, got '0'"),
        ("--phi 1 --target nothing", "unknown target 'nothing'"),
    ],
)
def test_bad_flags_are_one_line(words: str, message: str, refusal: Callable[..., str]) -> None:
    assert message in refusal("scale", "mobilenetv2", *words.split())


def test_python_takes_one_of_both() -> None:
    model = load_target("rpi5").model()
    assert model.predict_ms(api.scale("mobilenetv2", latency_ms=50, target="rpi5")) <= 50
    assert api.scale(SMALL, 1, depth=1, width=1, resolution=2).input_shape == (64, 48, 3)
    for given_ in ({}, {"phi": 1.0, "latency_ms": 3.0}):
        with pytest.raises(InvalidInput, match="either phi or latency_ms, got"):
            api.scale("mobilenetv2", **given_)  # type: ignore[arg-type]


def test_the_command_loads_no_jax_and_no_ray() -> None:
    code = "from nas.cli import main\nmain(['scale', 'mobilenetv2', '--phi', '1'])"
    assert not modules_after(code) & {"jax", "ray", "flax"}
