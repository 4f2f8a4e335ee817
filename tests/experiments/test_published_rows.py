"""The targets that rest on published rows hold the values that experiments/published_rows.py finds."""

import numpy as np
import pytest

from experiments.published_rows import coral_fit, coral_rows, inception_v1
from latency_models.roofline import PER_MS
from latency_models.target import load_target
from nas.zoo import reference


def test_coral_is_the_fit_on_its_rows() -> None:
    rows = coral_rows()
    columns = np.array([[1.0, elements, macs] for (macs, elements), _ in rows.values()])
    floor, per_byte, per_mac = coral_fit(columns, np.array([ms for _, ms in rows.values()]))
    target = load_target("coral-edgetpu")
    assert target.launch_overhead_ms is not None and target.launch_overhead_ms.value == pytest.approx(floor, rel=1e-3)
    assert target.bandwidth_gb_per_s.value == pytest.approx(1 / per_byte / PER_MS, rel=5e-3)
    assert target.peak_gmacs_per_s.value == pytest.approx(1 / per_mac / PER_MS, rel=5e-3)
    model = target.model()
    for network, ms in ((reference("mobilenetv1", width=0.25, resolution=128), 0.9), (reference("mobilenetv1"), 2.17)):
        assert model.predict_ms(network) == pytest.approx(ms, rel=0.03)  # the least and the most MACs of the MobileNets


def test_inception_v1_has_its_published_macs() -> None:
    assert inception_v1()[0] == pytest.approx(1.5e9, rel=0.01)  # "1.5 billion multiply-adds", arXiv 1409.4842
