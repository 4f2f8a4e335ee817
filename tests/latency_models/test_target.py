"""Targets and their rooflines: the contract of every file, Eq. 1 by hand and by law, published figures, errors."""

import math
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_models.roofline import Roofline
from latency_models.target import Confidence, abstract_target, list_targets, load_target, parse_target, target_names
from nas.arch import ArchSpec
from nas.errors import InvalidInput, UnknownName
from nas.ops import KINDS, UIB, Conv, Head, Kernel, Shape
from nas.zoo import reference

POSITIVE = st.floats(1e-3, 1e6)
SMALL = ArchSpec(Shape(8, 8, 3), ((Conv(4, 3, 2), UIB(4, 8, residual=True)),), Head(), 10)
GOOD = """
unit = "1x Core"
dtype = "int8"
aliases = ["mine"]
[peak_gmacs_per_s]
value = 2
source = "data sheet"
confidence = "vendor"
[bandwidth_gb_per_s]
value = 0.5
source = "data sheet"
confidence = "vendor"
[bytes_per_weight]
value = 1
source = "INT8"
confidence = "vendor"
[bytes_per_activation]
value = 2
source = "INT16"
confidence = "vendor"
"""


@st.composite
def convolutions(draw: st.DrawFn) -> ArchSpec:
    """A few convolutions on a small image: the maps that an architecture of any width and stride produces."""
    ops = draw(
        st.lists(
            st.builds(Conv, st.integers(1, 64), kernel_size=st.sampled_from((1, 3, 5)), stride=st.sampled_from((1, 2))),
            min_size=1,
            max_size=4,
        )
    )
    return ArchSpec(Shape(16, 16, 3), (tuple(ops),), Head(), 10)


# --- the contract of every target file -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", target_names())
def test_every_target_keeps_the_contract(name: str) -> None:
    target = load_target(name)
    assert target.name == name and target.unit and target.sourced_values
    for figure in target.sourced_values.values():
        assert figure.source.strip() and figure.confidence in get_args(Confidence)
    model = target.model()
    latency_ms = model.predict_ms(reference("mobilenetv4-conv-s", resolution=64))
    assert math.isfinite(latency_ms) and latency_ms > 0
    assert (model.name, model.unit, model.ridge_point) == (name, "ms", target.ridge_point)
    narrow, wide = (ArchSpec(Shape(32, 32, 3), ((Conv(width),),), Head(), 10) for width in (64, 256))
    assert model.predict_ms(narrow) <= model.predict_ms(wide)
    if target.published_ridge_point:
        assert 0 < target.model("plain-roofline").predict_ms(SMALL) < math.inf


@pytest.mark.parametrize("name", target_names())
@given(macs=st.integers(0, 10**9), more=st.integers(0, 10**9), size=st.integers(0, 10**6))
@settings(max_examples=20)
def test_more_macs_are_never_faster(name: str, macs: int, more: int, size: int) -> None:
    model = load_target(name).model()
    kernel = Kernel("k", "conv", Shape(1, 1, 1), Shape(1, 1, 1), macs, weights=size, reads=size, writes=size)
    assert model.of_kernel(kernel) <= model.of_kernel(replace(kernel, macs=macs + more))


def test_names_and_aliases_are_unique_and_the_promised_devices_are_there() -> None:
    aliases = [alias for target in list_targets() for alias in target.aliases]
    assert len({*target_names(), *aliases}) == len(target_names()) + len(aliases)
    promised = (
        "pixel6-cpu s23-cpu pixel4-dsp pixel8-edgetpu pixel7-gpu s23-gpu iphone13-ane coral-edgetpu rpi5 "
        "jetson-orin-nano cortex-m7"
    )
    assert set(promised.split()) <= set(target_names())
    assert load_target("edgetpu") is load_target("pixel8-edgetpu")


@pytest.mark.parametrize(
    ("name", "ridge"),
    [("pixel6-cpu", 31.2), ("s23-cpu", 39.7), ("pixel4-dsp", 347.3), ("pixel8-edgetpu", 433.8)],
)
def test_published_ridge_points(name: str, ridge: float) -> None:
    """arXiv 2404.10518v2, Tab. 16."""
    figure = load_target(name).published_ridge_point
    assert figure is not None and (figure.value, figure.confidence) == (ridge, "published")
    plain = load_target(name).model("plain-roofline")
    assert plain.ridge_point == pytest.approx(ridge, rel=1e-12)
    assert (plain.constant, plain.time_per_kernel_us) == (0, 0)


@pytest.mark.parametrize(
    ("name", "network", "resolution", "measured_ms", "within"),
    [
        ("pixel6-cpu", "mobilenetv4-conv-s", 224, 2.4, 0.10),
        ("pixel6-cpu", "mobilenetv4-conv-m", 256, 11.4, 0.10),
        ("pixel8-edgetpu", "mobilenetv4-conv-s", 224, 0.7, 0.05),
        ("pixel8-edgetpu", "mobilenetv4-conv-l", 384, 2.4, 0.10),
        ("s23-gpu", "mobilenetv2", 224, 2.5, 0.10),
        ("pixel4-dsp", "mobilenetv1", 224, 3.2, 0.12),
        ("coral-edgetpu", "mobilenetv2", 224, 2.29, 0.05),
    ],
)
def test_default_models_are_near_published_measurements(
    name: str, network: str, resolution: int, measured_ms: float, within: float
) -> None:
    """arXiv 2404.10518v2, Tab. 6 (batch 1, rounded to 0.1 ms); Coral: google-coral/edgetpu, benchmarks/reference."""
    predicted_ms = load_target(name).model().predict_ms(reference(network, resolution=resolution))
    assert predicted_ms == pytest.approx(measured_ms, rel=within)


# --- Eq. 1 by hand ---------------------------------------------------------------------------------------------------


def test_eq_1_by_hand_kernel_by_kernel() -> None:
    """8x8x3 image, conv 3x3 s2 to 4, classifier to 10; 1 GMAC/s, 0.5 GB/s, 1 byte a weight, 2 an activation."""
    arch = ArchSpec(Shape(8, 8, 3), ((Conv(4, 3, 2),),), Head(), 10)
    model = Roofline("hand", 1.0, 0.5, launch_overhead_ms=0.25, time_per_kernel_us=3.0, bytes_per_activation=2.0)
    conv, pool, dense = (model.explain(kernel) for kernel in arch.kernels)
    # conv: 4*4 outputs * 3*3*3*4 weights = 1,728 MACs; 108 + 2 * (192 + 64) = 620 bytes
    assert (conv.macs, conv.bytes, conv.bound) == (1728, 620, "compute")
    assert conv.compute_ms == pytest.approx(1.728e-3) and conv.memory_ms == pytest.approx(1.24e-3)
    assert conv.ms == pytest.approx(1.728e-3 + 3e-3) and conv.macs_per_byte == pytest.approx(1728 / 620)
    # pool: 2 * (64 + 4) = 136 bytes; classifier: 40 MACs, 40 + 2 * (4 + 10) = 68 bytes
    assert (pool.macs, pool.bytes, pool.bound) == (0, 136, "memory") and pool.ms == pytest.approx(0.272e-3 + 3e-3)
    assert (dense.macs, dense.bytes, dense.bound) == (40, 68, "memory")
    assert dense.ms == pytest.approx(0.136e-3 + 3e-3)
    assert model.predict_ms(arch) == pytest.approx(0.25 + 1.728e-3 + 0.272e-3 + 0.136e-3 + 9e-3)
    free = replace(model, free_kinds=("pool",))
    assert free.explain(arch.kernels[1]).bound == "free"
    assert free.predict_ms(arch) == pytest.approx(0.25 + 1.728e-3 + 0.136e-3 + 6e-3)
    on_chip = replace(model, on_chip_share=0.75, weight_on_chip_share=0.5).explain(arch.kernels[0])
    assert on_chip.bytes == pytest.approx(54 + 128)


# --- Eq. 1 by law ----------------------------------------------------------------------------------------------------


@given(arch=convolutions(), peak=POSITIVE)
def test_ridge_point_zero_is_the_mac_count(arch: ArchSpec, peak: float) -> None:
    assert abstract_target(0.0, peak).predict_ms(arch) == pytest.approx(arch.macs / (peak * 1e6), rel=1e-9)


@given(arch=convolutions(), bandwidth=POSITIVE)
def test_an_endless_ridge_point_is_the_byte_count(arch: ArchSpec, bandwidth: float) -> None:
    moved = sum(kernel.weights + kernel.reads + kernel.writes for kernel in arch.kernels)
    model = Roofline("endless", bandwidth * 1e9, bandwidth)
    assert model.predict_ms(arch) == pytest.approx(moved / (bandwidth * 1e6), rel=1e-9)


@given(arch=convolutions(), peak=POSITIVE, bandwidth=POSITIVE, overhead=st.floats(0, 10), times=st.floats(0.01, 100))
def test_a_faster_device_divides_the_time_above_the_launch_overhead(
    arch: ArchSpec, peak: float, bandwidth: float, overhead: float, times: float
) -> None:
    slow = Roofline("slow", peak, bandwidth)
    fast = Roofline("fast", peak * times, bandwidth * times, launch_overhead_ms=overhead)
    assert fast.predict_ms(arch) == pytest.approx(overhead + slow.predict_ms(arch) / times, rel=1e-9)


@given(arch=convolutions(), other=convolutions(), ridge=st.floats(0, 1e4))
def test_the_relative_model_gives_one_for_its_reference(arch: ArchSpec, other: ArchSpec, ridge: float) -> None:
    relative, absolute = abstract_target(ridge, reference=arch), abstract_target(ridge, 7.0)
    assert relative.predict_ms(arch) == pytest.approx(1.0, rel=1e-9)
    assert relative.relative_to == arch.name and relative.unit == f"x {arch.name}"
    expected = absolute.predict_ms(other) / absolute.predict_ms(arch)
    assert relative.predict_ms(other) == pytest.approx(expected, rel=1e-9)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "1x Core"', "", "lacks the field 'unit'"),
        ("[bandwidth_gb_per_s]", "[bandwith_gb_per_s]", "did you mean 'bandwidth_gb_per_s'"),
        ("value = 2\nsource", "value = 0\nsource", "peak_gmacs_per_s must be positive and finite, got 0"),
        ("value = 0.5", "value = nan", "bandwidth_gb_per_s must be positive and finite, got nan"),
        ("value = 0.5", "value = -1", "bandwidth_gb_per_s must be positive and finite, got -1"),
        ("value = 0.5", "value = inf", "bandwidth_gb_per_s must be positive and finite, got inf"),
        ("value = 0.5", "value = true", "bandwidth_gb_per_s must be a number, got True"),
        ("value = 0.5", 'value = "fast"', "bandwidth_gb_per_s must be a number, got 'fast'"),
        ('source = "INT8"\n', "", "bytes_per_weight must be a table of exactly value, source and confidence"),
        ('source = "INT8"', 'source = " "', "source of bytes_per_weight must be a non-empty text"),
        ('"INT16"\nconfidence = "vendor"', '"INT16"\nconfidence = "sure"', "confidence of bytes_per_activation"),
        ('dtype = "int8"', 'dtype = "int9"', "dtype must be one of int8, fp16, fp32"),
        ('aliases = ["mine"]', 'aliases = "mine"', "aliases must be a list of strings"),
        ('dtype = "int8"', 'dtype = "int8', "is not valid TOML"),
        ("value = 0.5", "value = 5e-324", "elements would take inf ms"),
        ("value = 2\nsource", "value = 1e-300\nsource", "elements would take 7e+303 ms"),
        ('dtype = "int8"', f'dtype = "int8"\nbatch = {10**30}', "batch must be a whole number from 1 to"),
        ('dtype = "int8"', f'dtype = "int8"\nbatch = {10**400}', "a whole number of more than 300 digits"),
    ],
)
def test_a_broken_target_file_is_one_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InvalidInput) as caught:
        load_target(str(path))
    assert message in str(caught.value) and "\n" not in str(caught.value) and "mine.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("figure", "value", "message"),
    [
        ("on_chip_share", "1.5", "on_chip_share must be between 0 and 1, got 1.5"),
        ("floor_ms", "-0.1", "floor_ms must be 0 or more and finite, got -0.1"),
        ("published_ridge_point", "0", "published_ridge_point must be positive and finite, got 0"),
        ("free_kinds", '["pools"]', "unknown kind of kernel 'pools'; did you mean 'pool'?"),
        ("free_kinds", '"pool"', "free_kinds must be a list of strings"),
    ],
)
def test_a_broken_optional_figure_is_one_line(figure: str, value: str, message: str) -> None:
    text = f'{GOOD}\n[{figure}]\nvalue = {value}\nsource = "us"\nconfidence = "estimated"\n'
    with pytest.raises(InvalidInput) as caught:
        parse_target("mine", text, "mine.toml")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_target_on_which_everything_takes_no_time_is_refused() -> None:
    text = f'{GOOD}\n[free_kinds]\nvalue = {list(KINDS)}\nsource = "us"\nconfidence = "estimated"\n'
    with pytest.raises(InvalidInput, match="elements would take 0 ms"):
        parse_target("mine", text, "mine.toml")


def test_a_file_of_ones_own_is_a_target(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    target = load_target(str(path))
    assert (target.name, target.aliases, target.ridge_point) == ("mine", ("mine",), 4.0)
    assert target.model().bytes_per_activation == 2
    with pytest.raises(InvalidInput, match="cannot read"):
        load_target(str(tmp_path / "absent.toml"))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        load_target(str(path))


def test_unknown_names_get_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match="unknown target 'pixel8-edgetp'; did you mean 'pixel8-edgetpu'"):
        load_target("pixel8-edgetp")
    with pytest.raises(UnknownName, match="unknown latency model 'plain'; did you mean 'plain-roofline'"):
        load_target("edgetpu").model("plain")
    with pytest.raises(InvalidInput, match="'rpi5' lacks; use the default model or --ridge-point"):
        load_target("rpi5").model("plain-roofline")


@pytest.mark.parametrize("ridge", [-1.0, math.nan, math.inf])
def test_a_bad_ridge_point_is_one_line(ridge: float) -> None:
    with pytest.raises(InvalidInput, match="--ridge-point must be 0 or more and finite"):
        abstract_target(ridge, 1.0)


@pytest.mark.parametrize("peak", [0.0, -1.0, math.nan, math.inf])
def test_a_bad_peak_is_one_line(peak: float) -> None:
    with pytest.raises(InvalidInput, match="--peak-gmacs-per-s must be positive and finite"):
        abstract_target(30.0, peak)
    with pytest.raises(InvalidInput, match="peak_gmacs_per_s of 'mine' must be positive and finite"):
        Roofline("mine", peak, 1.0)


def test_weights_beyond_the_chip_have_a_caution() -> None:
    model = load_target("coral-edgetpu").model()
    assert model.caution(reference("mobilenetv2")) is None
    assert "lower bound" in (model.caution(reference("mobilenetv4-conv-l")) or "")
    assert load_target("edgetpu").model().caution(reference("mobilenetv4-conv-l")) is None
