"""Targets with a calibration keep what their files state; experiments/refit_targets.py gives what a hand call gives."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.measured import measured
from experiments.refit_targets import (
    CASES,
    FOLDER,
    KEPT,
    Refit,
    mape_percent,
    measurements,
    text_of,
    unpriced,
)
from latency_models.calibration.calibrate import calibrate
from latency_models.calibration.validation import KIND_AWARE
from latency_models.target import list_targets, load_target, parse_target

DEVICES = {case.target: case.device for case in CASES}
CALIBRATED = [target.name for target in list_targets() if target.calibration]
S23_GPU = next(case for case in CASES if case.target == "s23-gpu")


@pytest.mark.parametrize("name", CALIBRATED)
def test_a_calibrated_target_predicts_its_networks_within_its_stated_errors(name: str) -> None:
    """What a fit has seen it predicts better than what it has not; nine in ten lie within the interval."""
    data, target = measured(DEVICES[name]), load_target(name)
    known, model = target.calibration, target.model()
    assert known is not None and (known.networks, model.batch) == (len(data.specs), data.batch)
    assert known.latency_ms == pytest.approx((data.latency_ms.min(), data.latency_ms.max()))
    predicted = np.array([model.predict_ms(arch) for arch in data.specs])
    within = np.abs(data.latency_ms / predicted - 1) <= known.interval_90_percent / 100
    assert mape_percent(model, data) <= known.mape_percent and within.mean() >= 0.9


def test_the_refit_of_a_column_is_a_call_of_calibrate_and_the_file_that_is_there() -> None:
    data, before = measured("s23-gpu"), load_target("s23-gpu")
    like = replace(before, kind_efficiency=(), kind_memory_efficiency=())
    by_hand = calibrate(measurements(data), "s23-gpu", like=like)
    refit = Refit(S23_GPU, data)
    assert refit.report.scores == by_hand.scores and refit.report.model == by_hand.model
    written = parse_target("s23-gpu", text_of(refit), "again")
    archs = data.specs[:3]
    assert [written.model().predict_ms(arch) for arch in archs] == pytest.approx(
        [before.model().predict_ms(arch) for arch in archs], rel=1e-3
    )
    assert (written.unit, written.free_kinds, written.onchip_kb) == (before.unit, before.free_kinds, before.onchip_kb)
    assert refit.reason_to_keep == "" and text_of(refit).startswith((FOLDER / "s23-gpu.toml").read_text()[:20])


def test_a_kind_without_time_keeps_a_target_from_being_made() -> None:
    """On the Pixel 1 only stems are convolutions that are neither pointwise nor depthwise."""
    case = next(case for case in CASES if case.target == "pixel1-cpu")
    refit = Refit(case, measured("pixel1-cpu"))
    assert "conv" in unpriced(refit.report) and refit.reason_to_keep.startswith("no time for conv")
    assert not (FOLDER / "pixel1-cpu.toml").exists()


def test_the_default_target_keeps_its_values_and_too_few_networks_are_a_reason() -> None:
    edgetpu = load_target("edgetpu")
    assert edgetpu.name in KEPT and edgetpu.calibration is None
    assert edgetpu.launch_overhead_ms is not None
    values = (edgetpu.peak_gmacs_per_s.value, edgetpu.bandwidth_gb_per_s.value, edgetpu.launch_overhead_ms.value)
    assert values == (3811, 103, 0.61)
    few = next(case for case in CASES if case.target == "pixel3-cpu")
    refit = Refit(few, measured("pixel3-cpu"))
    assert refit.report.scores[KIND_AWARE].mape_percent < (refit.before_percent or 0)
    assert refit.reason_to_keep == "6 networks are too few"
