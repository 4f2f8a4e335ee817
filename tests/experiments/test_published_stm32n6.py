"""The STM32N6 target holds what experiments/published_stm32n6.py finds, and predicts the published times."""

import numpy as np
import pytest

from experiments.published_stm32n6 import MEASURED_MS, SQUEEZE_EXCITE_MS, bytes_of, fit_rates, left_out_ms
from latency_models.calibration.validation import half_width
from latency_models.latency_error import error_of
from latency_models.roofline import PER_MS
from latency_models.target import load_target
from nas.zoo import reference

MOVED = np.array([bytes_of(reference(name)) for name in MEASURED_MS])
MS = np.array(list(MEASURED_MS.values()))


def test_the_target_is_the_fit_on_its_rows() -> None:
    target = load_target("stm32n6")
    weights, maps = 1 / fit_rates(MOVED, MS) / PER_MS
    assert target.on_chip_share is not None and target.on_chip_share.value == pytest.approx(
        1 - weights / maps, abs=1e-3
    )
    assert target.bandwidth_gb_per_s.value == pytest.approx(weights, rel=2e-3)


def test_it_states_the_errors_of_networks_left_out() -> None:
    known = error_of(load_target("stm32n6"))
    others = left_out_ms(MOVED, MS)
    assert known.mean_percent == pytest.approx(100 * np.mean(np.abs(others / MS - 1)), abs=0.05)
    assert known.percent == pytest.approx(100 * half_width(others[None], MS), abs=0.05)


def test_the_published_times_lie_within_the_interval_but_for_squeeze_excite() -> None:
    target = load_target("stm32n6")
    model, percent = target.model(), error_of(target).percent
    assert percent is not None
    off = {name: abs(ms / model.predict_ms(reference(name)) - 1) for name, ms in MEASURED_MS.items()}
    assert sum(each <= percent / 100 for each in off.values()) >= 0.9 * len(off)
    for name, ms in SQUEEZE_EXCITE_MS.items():
        assert ms / model.predict_ms(reference(name)) == pytest.approx(1.9, abs=0.05)  # as its file says
