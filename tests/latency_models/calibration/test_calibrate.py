"""Calibration: a known device is recovered, by law and in numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.measured import MBCONV_TABLE, mbconv_spec
from experiments.measured import rows_of as rows_of_table
from latency_models.calibration.calibrate import calibrate, plain_template
from latency_models.calibration.fit import LEAST, Fit, efficiencies, fit
from latency_models.calibration.measurements import Measurement, Measurements
from latency_models.calibration.peers import BOOSTED_TREES, RIDGE_REGRESSION
from latency_models.calibration.validation import (
    FITTERS,
    KIND_AWARE,
    SHAPE_AWARE,
    cross_validated,
    half_width,
    scores,
)
from latency_models.energy import Energy
from latency_models.roofline import Roofline
from latency_models.target import load_target, parse_target, target_names
from latency_models.target_file import target_toml
from latency_models.workload import Workload
from nas.arch import ArchSpec
from nas.cli.tables.calibration import NO_MACS
from nas.errors import InvalidInput
from nas.ops import KINDS
from nas.registry import SPACES, load
from nas.space.cost_table import compile_table, cost_of
from nas.zoo import ZOO, reference
from tests.support.made_up_device import APART, SEEN, TOGETHER, UNSEEN

TEMPLATE = plain_template("device", "fp32")


def workload(archs: tuple[ArchSpec, ...], batch: int = 1) -> Workload:
    return Workload.of(archs, [batch] * len(archs), TEMPLATE)


def times(model: Roofline, archs: tuple[ArchSpec, ...]) -> Any:
    return np.array([model.predict_ms(arch) for arch in archs])


def table(latencies: Any, archs: tuple[ArchSpec, ...] = SEEN, **provenance: str) -> Measurements:
    rows = (Measurement(f"net{i}", arch, float(ms)) for i, (arch, ms) in enumerate(zip(archs, latencies, strict=False)))
    return Measurements(tuple(rows), provenance, ())


# --- the fit ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", [APART, TOGETHER], ids=lambda device: device.name)
@pytest.mark.parametrize("batch", [1, 16])
def test_a_known_device_is_recovered_without_noise(device: Roofline, batch: int) -> None:
    truth = replace(device, batch=batch)
    model = fit(workload(SEEN, batch), times(truth, SEEN)).roofline(replace(TEMPLATE, batch=batch))
    np.testing.assert_allclose(times(model, UNSEEN), times(truth, UNSEEN), rtol=0.01)


def test_the_fit_predicts_what_its_roofline_predicts() -> None:
    for device in (APART, TOGETHER):
        fitted = fit(workload(SEEN[:20]), times(device, SEEN[:20]))
        np.testing.assert_allclose(
            fitted.predict(workload(UNSEEN)), times(fitted.roofline(TEMPLATE), UNSEEN), rtol=1e-9
        )


@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 50))
@settings(max_examples=10)
def test_slower_by_a_factor_is_slower_by_that_factor(factor: float, seed: int) -> None:
    noisy = times(APART, SEEN[:15]) * np.random.default_rng(seed).lognormal(0, 0.05, 15)
    once, scaled = (fit(workload(SEEN[:15]), noisy * c).predict(workload(UNSEEN)) for c in (1.0, factor))
    np.testing.assert_allclose(scaled, once * factor, rtol=1e-6)


@given(st.permutations(range(12)))
@settings(max_examples=10)
def test_the_order_of_the_rows_does_not_matter(order: list[int]) -> None:
    noisy = times(TOGETHER, SEEN[:12]) * np.random.default_rng(3).lognormal(0, 0.05, 12)
    mixed = tuple(SEEN[i] for i in order)
    one, other = fit(workload(SEEN[:12]), noisy), fit(workload(mixed), noisy[order])
    np.testing.assert_allclose(other.predict(workload(UNSEEN)), one.predict(workload(UNSEEN)), rtol=1e-6)


@pytest.mark.parametrize("device", [APART, TOGETHER], ids=lambda device: device.name)
def test_kinds_of_equal_work_get_the_common_rate_and_the_launch_overhead_the_rest(
    device: Roofline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All networks of the space have one stem: no measured network can tell its time from the launch overhead."""
    seen, noisy = workload(SEEN[:30]), times(device, SEEN[:30]) * np.random.default_rng(4).lognormal(0, 0.05, 30)
    settled = fit(seen, noisy)
    monkeypatch.setattr(Fit, "settle_constant_kinds", lambda fitted, *_: fitted)
    raw, place = fit(seen, noisy), KINDS.index("conv")
    np.testing.assert_allclose(settled.predict(workload(UNSEEN)), raw.predict(workload(UNSEEN)), rtol=1e-9)
    assert settled.launch_overhead_ms >= 0
    if settled.launch_overhead_ms > 0:
        assert settled.compute[place] == pytest.approx(settled.common[0])
    assert abs(settled.compute[place] / settled.common[0] - 1) <= abs(raw.compute[place] / raw.common[0] - 1)
    varied = KINDS.index("depthwise")
    assert settled.compute[varied] == raw.compute[varied]


def test_every_kind_at_its_bound_is_named() -> None:
    """On this device pools and additions cost nothing but their launch; so does the classifier."""
    free = replace(
        APART,
        time_per_kernel_us=0.0,
        kind_efficiency=(("dense", 1e9), ("depthwise", 0.2)),
        kind_memory_efficiency=(("pool", 1e9), ("elementwise", 1e9), ("dense", 1.0)),
    )
    archs = tuple(reference(name) for name in ZOO if "mobilenetv4-conv" in name or "mobilenetv3" in name)
    archs = (*archs, *(parse for parse in SEEN[:25]))
    report = calibrate(table(times(free, archs), archs), "mine")
    (warning,) = [text for text in report.warnings if "no time can be attributed" in text]
    rates = dict(zip(KINDS, zip(*efficiencies(report.model), strict=True), strict=True))
    measured = {kernel.kind for arch in archs for kernel in arch.kernels}
    bound = [k for k in KINDS if k in measured and min(rates[k][k in NO_MACS :]) > 0.99 / LEAST]
    assert "elementwise" in bound
    assert all(kind in warning for kind in bound) and not any(k in warning for k in set(KINDS) - {*bound})


def test_unequal_weight_of_one_outlier_is_seen_in_its_own_residual() -> None:
    latency_ms = times(APART, SEEN[:30])
    latency_ms[7] *= 2
    report = calibrate(table(latency_ms, SEEN[:30]), "mine")
    assert report.residuals[0].name == "net7" and report.residuals[0].left_out_percent < -40
    assert any("net7" in warning for warning in report.warnings)


def test_better_than_every_baseline_where_kinds_differ() -> None:
    rng = np.random.default_rng(5)
    report = calibrate(table(times(APART, SEEN[:25]) * rng.lognormal(0, 0.02, 25)), "mine", with_peers=True)
    errors = {form: report.scores[form].mape_percent for form in (*FITTERS, RIDGE_REGRESSION, BOOSTED_TREES)}
    assert report.form in (KIND_AWARE, SHAPE_AWARE) and errors[report.form] == min(errors.values()) < 4
    assert report.target.calibration is not None
    assert report.target.calibration.mape_percent == pytest.approx(errors[report.form], abs=1e-4)


@pytest.mark.parametrize(("count", "repeats"), [(12, 16), (30, 8)])
def test_the_interval_holds_nine_in_ten_unseen_networks(count: int, repeats: int) -> None:
    covered = []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(len(SEEN))[:count]
        seen = workload(tuple(SEEN[i] for i in chosen))
        latency_ms = times(APART, SEEN)[chosen] * rng.lognormal(0, 0.06, count)
        width = half_width(cross_validated(fit, seen, latency_ms), latency_ms)
        truth = times(APART, UNSEEN) * rng.lognormal(0, 0.06, len(UNSEEN))
        covered.append(np.mean(np.abs(truth / fit(seen, latency_ms).predict(workload(UNSEEN)) - 1) <= width))
    assert 0.85 <= np.mean(covered) <= 0.95


@pytest.mark.parametrize(
    ("column", "batch", "rho", "mape"),
    [("latency_zcu102_ms", 1, 0.985, 4.0), ("throughput_a100_img_per_s", 128, 0.997, 1.5)],
)
def test_fifty_networks_calibrate_measured_devices(column: str, batch: int, rho: float, mape: float) -> None:
    """Accel-NASBench (experiments/data/README.md): fitted on the first 50 rows, tested on the next 150."""
    rows = [row for row in rows_of_table(MBCONV_TABLE)[:210] if row[column]][:200]
    figures = np.array([float(row[column]) for row in rows])
    latency_ms = figures if batch == 1 else 1000 * batch / figures
    whole = workload(tuple(mbconv_spec(row) for row in rows), batch)
    found = scores(fit(whole, latency_ms, np.arange(50)).predict(whole)[50:], latency_ms[50:])
    assert found.spearman is not None and found.spearman > rho and found.mape_percent < mape


def test_with_five_measurements_the_interval_is_wider_than_any_residual() -> None:
    predicted, measured = np.array([[1.0, 1.1, 0.9, 1.0, 1.2]]), np.ones(5)
    assert half_width(predicted, measured) > np.abs(measured / predicted - 1).max()


def test_below_nine_measurements_the_interval_is_that_of_student() -> None:
    errors = np.array([0.01, -0.02, 0.03, 0.01, -0.04, 0.02])
    by_hand = 2.353363 * np.sqrt(np.mean(errors**2) * 7 / 6)  # t of 3 degrees of freedom, 90 % two-sided
    assert half_width(1 / (1 + errors)[None], np.ones(6)) == pytest.approx(by_hand, rel=1e-5)


def test_few_measurements_have_an_interval_that_covers_and_is_not_too_wide() -> None:
    """Accel-NASBench on the ZCU102 (experiments/data): 8 draws of 5, 6 and 8 networks, tested on 100 others."""
    whole = [mbconv_spec(row) for row in MBCONV_ROWS]
    latency_ms = np.array([float(row["latency_zcu102_ms"]) for row in MBCONV_ROWS])
    covered = np.empty((3, 8))
    for i, count in enumerate((5, 6, 8)):
        for seed in range(8):
            order = np.random.default_rng(seed).permutation(len(whole))
            seen, unseen = order[:count], order[50:]
            few, others = (workload(tuple(whole[i] for i in rows)) for rows in (seen, unseen))
            width = half_width(cross_validated(fit, few, latency_ms[seen]), latency_ms[seen])
            errors = latency_ms[unseen] / fit(few, latency_ms[seen]).predict(others) - 1
            covered[i, seed] = np.mean(np.abs(errors) <= width)
    assert covered.mean(1).min() >= 0.85 and covered.mean() <= 0.97


MBCONV_ROWS = [row for row in rows_of_table(MBCONV_TABLE)[:210] if row["latency_zcu102_ms"]][:150]


def test_scores_by_hand() -> None:
    found = scores(np.array([1.0, 2.0, 3.0, 5.0]), np.array([1.0, 2.1, 4.0, 3.0]))
    assert (found.spearman, found.kendall) == pytest.approx((0.8, 2 / 3))
    assert found.mape_percent == pytest.approx(100 * (0.1 / 2.1 + 0.25 + 2 / 3) / 4)
    assert found.within_10_percent == 50
    assert scores(np.ones(3), np.array([1.0, 2.0, 3.0])).spearman is None


# --- targets ---------------------------------------------------------------------------------------------------------


def test_a_calibrated_target_survives_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = calibrate(table(times(APART, SEEN[:20]), runtime="tflite", threads="4", machine="a phone"), "mine")
    (tmp_path / "mine.toml").write_text(target_toml(report.target))
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "mine.toml", str(tmp_path / "mine.toml")):
        assert load_target(name) == report.target
    assert hash(report.model) == hash(load_target("mine").model()) and report.target.unit == "a phone"
    np.testing.assert_allclose(times(report.model, UNSEEN), times(APART, UNSEEN), rtol=0.05)


@pytest.mark.parametrize("name", target_names())
def test_every_target_survives_being_written(name: str) -> None:
    target = load_target(name)
    assert parse_target(name, target_toml(target), "again") == target


def test_like_gives_widths_free_kinds_and_what_is_not_measured() -> None:
    like = load_target("pixel8-edgetpu")
    report = calibrate(table(times(APART, SEEN[:10])), "mine", like=like)
    assert (report.target.dtype, report.target.free_kinds) == ("int8", like.free_kinds)
    assert report.model.bytes_per_weight == 1 and "pool" not in dict(report.model.kind_efficiency)


def test_predictions_beyond_the_measured_range_have_a_caution() -> None:
    report = calibrate(table(times(APART, SEEN[:20])), "mine")
    assert report.model.caution(SEEN[0]) is None
    assert "outside the measured" in (report.model.caution(reference("mobilenetv4-conv-l")) or "")
    assert "matmul" in (report.model.caution(reference("mobilenetv4-hybrid-m")) or "")
    assert {kind: row.confidence for kind, row in report.target.kind_efficiency}["matmul"] == "estimated"


@pytest.mark.parametrize("model", [APART, replace(TOGETHER, batch=8)], ids=["apart", "batch"])
def test_tables_equal_the_sum_over_kernels(model: Roofline) -> None:
    space = load("space", SPACES, "uib").coarse()
    genotypes = space.sample(np.random.default_rng(0), 5)
    for cost in (model, Energy("energy", model, 2.0, 5.0, 40.0)):
        walked = [cost_of(cost, space.decode(tuple(map(int, genotype)))) for genotype in genotypes]
        np.testing.assert_allclose(compile_table(space, cost).score(genotypes), walked, rtol=1e-12)


def test_energy_of_a_known_device_is_recovered() -> None:
    truth = Energy("energy", APART, 2.5, 6.0, 50.0)
    rows = table(times(APART, SEEN[:40])).networks
    networks = tuple(replace(row, energy_mj=truth.predict_mj(row.arch)) for row in rows)
    report = calibrate(Measurements(networks, {}, ()), "mine")
    assert report.energy is not None and report.energy.scores.mape_percent < 1
    expected = [truth.predict_mj(arch) for arch in UNSEEN]
    np.testing.assert_allclose([report.target.energy_model().predict_mj(arch) for arch in UNSEEN], expected, rtol=0.02)


def test_a_target_without_energy_values_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has no energy coefficients"):
        load_target("rpi5").energy_model()


GOOD = target_toml(calibrate(table(times(APART, SEEN[:8])), "mine").target)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("depthwise = { value", "dephtwise = { value", "did you mean 'depthwise'"),
        ("conv = { value = ", "conv = { value = -", "kind_efficiency.conv must be positive and finite"),
        ("[kind_efficiency]", "kind_efficiency = 1\n[other]", "unknown field 'other'"),
        ("networks = 8", "networks = 0", "calibration.networks must be a finite number of at least 1, got 0"),
        ("networks = 8", "network = 8", "did you mean 'networks'"),
        ("networks = 8\n", "", "calibration lacks the entry 'networks'"),
        ("spearman = ", "spearman = 2 #", "calibration.spearman must be a finite number from -1 to 1, got 2"),
        ("latency_ms = [", "latency_ms = [99.0, ", "must be a list of the smallest and the largest"),
        ('kinds = ["conv"', 'kinds = ["cnov"', "did you mean 'conv'"),
        ('dtype = "fp32"', 'dtype = "fp32"\nbatch = 0', "batch must be a whole number from 1 to 1048576, got 0"),
        ('dtype = "fp32"', 'dtype = "fp32"\nbatch = true', "batch must be a whole number from 1 to 1048576, got True"),
        ("overlap = false", "overlap = 0", "overlap must be true or false, got 0"),
    ],
)
def test_a_broken_calibrated_file_is_one_line(old: str, new: str, message: str) -> None:
    text = GOOD if old in GOOD else GOOD.replace('dtype = "fp32"', 'dtype = "fp32"\noverlap = false')
    assert old in text
    with pytest.raises((InvalidInput, LookupError)) as caught:
        parse_target("mine", text.replace(old, new, 1), "mine.toml")
    assert message in str(caught.value) and "\n" not in str(caught.value)
