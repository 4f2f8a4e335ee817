"""The targets whose energy rests on MLPerf Tiny hold the values that experiments/published_energy.py finds."""

import numpy as np
import pytest

from experiments.published_energy import MEASURED, left_out, macs_of_networks, pj_per_mac
from latency_models.target import load_target


@pytest.mark.parametrize("name", ["cortex-m7", "stm32h7"])
def test_energy_of_cortex_m7_is_the_fit_on_mlperf_tiny(name: str) -> None:
    macs, energy_mj = macs_of_networks(), np.array([microjoules for microjoules, _ in MEASURED.values()]) / 1000
    rows = dict(load_target(name).energy)
    assert rows["pj_per_mac"].value == pytest.approx(pj_per_mac(macs, energy_mj), rel=1e-3)
    largest = 100 * float(np.abs(left_out(macs, energy_mj)).max())
    assert largest <= rows["error_percent"].value <= largest + 1


def test_power_of_computed_energies_is_that_of_the_measured_chip() -> None:
    watts = np.mean([microjoules * per_second / 1e6 for microjoules, per_second in MEASURED.values()])
    for name in ("cortex-m55", "ethos-u55-128"):
        assert dict(load_target(name).energy)["power_w"].value == pytest.approx(float(watts) / 280 * 500, rel=0.01)
