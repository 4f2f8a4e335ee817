"""Corrections by shape: factors of 1 change nothing, arrays equal the scalar form, files survive, bad ones are told."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_models.calibration.calibrate import calibrate
from latency_models.calibration.fit import Fit, fit
from latency_models.calibration.measurements import Measurement, Measurements
from latency_models.calibration.shape_fit import fit_shapes, nonnegative
from latency_models.corrections import Correction, pixels_of
from latency_models.kernel_times import kernel_columns, kernel_times, totals
from latency_models.roofline import Roofline
from latency_models.sourced_values import SourcedValue
from latency_models.target import load_target, parse_target
from latency_models.target_file import target_toml
from latency_models.workload import Workload
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import KINDS
from nas.registry import SPACES, load
from nas.space.cost_table import compile_table
from tests.support.made_up_device import APART, SEEN, TOGETHER, UNSEEN

ARCHS = SEEN[:3]
POOLS = Correction("pool", (512, 100_000), memory=6.0)
UNEVEN = (
    Correction("depthwise", (32, 127), (256, 2047), 5, compute=3.0, memory=0.5),
    Correction("depthwise", (32, 127), compute=1.5),
    Correction("pointwise", (2048, 40_000), compute=0.7, memory=2.0),
    POOLS,
)
STEEP = (
    Correction("depthwise", (512, 2047), compute=3.0, memory=3.0),
    Correction("depthwise", (2048, 99_999), compute=0.3, memory=0.3),
    Correction("pointwise", (32, 511), compute=3.0, memory=2.0),
)
FACTORS = st.floats(0.01, 100)


@st.composite
def corrections(draw: st.DrawFn) -> Correction:
    low, first = draw(st.integers(1, 3000)), draw(st.integers(1, 300))
    channels = draw(st.sampled_from((None, (first, 8 * first))))
    size = draw(st.sampled_from((None, 1, 3, 5)))
    return Correction(draw(st.sampled_from(KINDS)), (low, 16 * low), channels, size, draw(FACTORS), draw(FACTORS))


@given(st.lists(corrections(), max_size=6), st.sampled_from((APART, TOGETHER)))
@settings(max_examples=25)
def test_arrays_equal_the_scalar_form_bit_for_bit_and_the_latency_is_a_sum(
    rows: list[Correction], device: Roofline
) -> None:
    model = replace(device, corrections=tuple(rows), batch=4)
    columns = kernel_columns(ARCHS)
    times, _ = kernel_times(columns, model)
    assert times.tolist() == [model.of_kernel(kernel) for arch in ARCHS for kernel in arch.kernels]
    assert totals(columns, times, model) == [model.predict_ms(arch) for arch in ARCHS]
    for arch in ARCHS:
        assert model.predict_ms(arch) == model.constant + sum(model.of_kernel(kernel) for kernel in arch.kernels)


@given(st.lists(corrections(), max_size=6))
@settings(max_examples=25)
def test_factors_of_one_leave_every_time_as_it_is(rows: list[Correction]) -> None:
    ones = tuple(replace(row, compute=1.0, memory=1.0) for row in rows)
    for device in (APART, TOGETHER):
        model = replace(device, corrections=ones)
        assert [model.predict_ms(arch) for arch in ARCHS] == [device.predict_ms(arch) for arch in ARCHS]


def test_a_factor_multiplies_the_kernels_of_its_shapes_alone_and_the_first_row_counts() -> None:
    model = replace(APART, corrections=UNEVEN)
    seen = set()
    for kernel in (kernel for arch in SEEN for kernel in arch.kernels):
        plain, corrected = APART.explain(kernel), model.explain(kernel)
        row = next(
            (r for r in UNEVEN if r.applies(kernel.kind, pixels_of(kernel), kernel.out_shape.channels,
                                            kernel.kernel_size)), Correction("pool", (0, 0))
        )  # fmt: skip
        seen.add(row)
        assert corrected.compute_ms == plain.compute_ms * row.compute
        assert corrected.memory_ms == plain.memory_ms * row.memory and corrected.overhead_ms == plain.overhead_ms
    assert seen >= set(UNEVEN)


def test_a_global_pool_is_as_large_as_the_map_that_it_reads() -> None:
    pool = next(kernel for kernel in ARCHS[0].kernels if kernel.kind == "pool" and kernel.in_shape.height > 1)
    assert pixels_of(pool) == pool.in_shape.height * pool.in_shape.width > 1


def test_tables_hold_corrections() -> None:
    space = load("space", SPACES, "mbconv_imagenet")
    model = replace(APART, corrections=UNEVEN)
    genotypes = space.sample(np.random.default_rng(0), 3)
    expected = [model.predict_ms(space.decode(tuple(map(int, genotype)))) for genotype in genotypes]
    np.testing.assert_allclose(compile_table(space, model).score(genotypes), expected, rtol=1e-12)


# --- the fit ---------------------------------------------------------------------------------------------------------


def workload(archs: tuple[ArchSpec, ...] = SEEN) -> Workload:
    return Workload.of(archs, [1] * len(archs), Roofline("d", 1.0, 1.0, bytes_per_weight=4.0, bytes_per_activation=4.0))


def latencies(model: Roofline, archs: tuple[ArchSpec, ...]) -> Any:
    return np.array([model.predict_ms(arch) for arch in archs])


def error(found: Fit, truth: Any) -> float:
    return float(np.abs(found.predict(workload(UNSEEN)) / truth - 1).mean())


def test_an_uneven_device_is_learnt_better_by_shapes_than_by_kinds_alone() -> None:
    device = replace(APART, corrections=STEEP)
    measured, truth, seen = latencies(device, SEEN), latencies(device, UNSEEN), workload()
    by_kind, by_shape = (fitter(seen, measured, np.arange(20)) for fitter in (fit, fit_shapes))
    assert by_shape.corrections and error(by_shape, truth) < 0.3 * error(by_kind, truth)
    model = by_shape.roofline(Roofline("d", 1.0, 1.0, bytes_per_weight=4.0, bytes_per_activation=4.0))
    np.testing.assert_allclose(latencies(model, UNSEEN), by_shape.predict(workload(UNSEEN)), rtol=1e-9)


def test_an_even_device_keeps_the_rates_of_its_kinds() -> None:
    noisy = latencies(APART, SEEN[:30]) * np.random.default_rng(1).lognormal(0, 0.05, 30)
    seen = workload(SEEN[:30])
    assert fit_shapes(seen, noisy) is fit(seen, noisy)


@given(st.integers(0, 10**6))
@settings(max_examples=5)
def test_no_time_is_negative_whatever_was_measured(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = fit_shapes(workload(SEEN[:8]), rng.lognormal(0, 1, 8))
    assert found.launch_overhead_ms >= 0 and found.kernel_ms >= 0
    assert min(found.compute.min(), found.memory.min()) > 0
    assert all(row.compute > 0 and row.memory > 0 for row in found.corrections)


@given(st.integers(0, 10**6), st.integers(1, 12))
def test_nonnegative_least_squares_meet_their_conditions(seed: int, size: int) -> None:
    """Karush, Kuhn and Tucker: x >= 0, gradient >= 0, and one of them 0 for every coefficient."""
    rng = np.random.default_rng(seed)
    columns, target = rng.standard_normal((size + 5, size)), rng.standard_normal(size + 5)
    form = columns.T @ columns + 1e-6 * np.eye(size)
    values, factor = nonnegative(form, columns.T @ target, rng.random(size) < 0.5)
    gradient = form @ values - columns.T @ target
    assert values.min() >= 0 and gradient.min() > -1e-6 and np.abs(values * gradient).max() < 1e-6
    held = values > 0
    lower = np.tril(factor)
    np.testing.assert_allclose(lower @ lower.T, form[np.ix_(held, held)], atol=1e-9)


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_target_with_corrections_survives_its_file_and_one_without_has_none() -> None:
    plain = load_target("pixel6-cpu")
    target = replace(plain, corrections=SourcedValue(UNEVEN, "made up", "estimated"))
    text = target_toml(target)
    assert parse_target("pixel6-cpu", text, "again") == target
    assert parse_target("pixel6-cpu", text, "again").model().corrections == UNEVEN
    assert plain.model().corrections == () and "corrections" not in target_toml(plain)
    assert text.count("\n  { kind = ") == len(UNEVEN)  # a row per line


def test_calibrate_writes_what_it_has_fitted() -> None:
    device = replace(APART, corrections=STEEP)
    rows = tuple(Measurement(f"n{i}", a, device.predict_ms(a)) for i, a in enumerate(SEEN[:12]))
    report = calibrate(Measurements(rows, {}, ()), "mine")
    assert report.form == "shape-aware roofline" and report.model.corrections
    again = parse_target("mine", target_toml(report.target), "mine.toml")
    assert again == report.target and again.model() == report.model


GOOD = target_toml(replace(load_target("pixel6-cpu"), corrections=SourcedValue((UNEVEN[0],), "made up", "estimated")))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "depthwise", p', 'kind = "dephtwise", p', "did you mean 'depthwise'"),
        ("pixels = [32, 127]", "pixels = [127, 32]", "corrections, row 1.pixels must be a list of the first and"),
        ("pixels = [32, 127], ", "", "corrections, row 1 lacks the entry 'pixels'"),
        ("compute = 3.0", "compute = 0", "corrections, row 1.compute must be a number from 1e-06 to 1e+06, got 0"),
        ("memory = 0.5", "memroy = 0.5", "did you mean 'memory'"),
        ("kernel_size = 5", "kernel_size = 0", "kernel_size must be a whole number of at least 1, got 0"),
        ("channels = [256, 2047]", "channels = 256", "channels must be a list of the first and the last"),
        ("value = [\n", 'value = ["x"]\nother = [\n', "corrections must be a table of exactly value"),
    ],
)
def test_a_broken_correction_is_one_line(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises((InvalidInput, LookupError)) as caught:
        parse_target("mine", GOOD.replace(old, new, 1), "mine.toml")
    assert message in str(caught.value) and "\n" not in str(caught.value)
