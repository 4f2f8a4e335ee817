"""Networks with dead layers and branches: int8 files that run, and equal the forward pass."""

from typing import Any

import numpy as np
import pytest

from nas.nn.network import get_weights, random_network
from nas.quantisation.calibrate import calibrated_ranges
from nas.quantisation.forward import fake_quantised_outputs, output_step
from nas.quantisation.limits import usable_ranges
from nas.quantisation.program import folded, program_of
from tests.export.test_int8 import SMALL
from tests.quantisation.test_forward import IMAGES, tflite

CASES = {
    "a layer that is 0 on all images": {"1.0.se_reduce.bias": -100.0, "1.0.se_reduce.weight": 0.0},
    "a residual branch of zeros": {"0.1.project.scale": 0.0, "0.1.project.bias": 0.0},
    "a residual branch that is tiny": {"0.1.project.scale": 1e-8, "0.1.project.bias": 1e-7},
    "an activation of zeros": {"1.0.expand.scale": 0.0, "1.0.expand.bias": 0.0},
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_with_a_dead_tensor_runs_and_equals_the_forward_pass(case: str) -> None:
    weights = dict(get_weights(random_network(SMALL, 0)))
    for name, value in CASES[case].items():
        weights[name] = np.full_like(weights[name], value)

    def tensors(name: str, _: tuple[int, ...]) -> Any:
        return np.asarray(weights[name])

    ranges = calibrated_ranges(SMALL, tensors, [IMAGES])
    program = program_of(SMALL)
    usable = usable_ranges(program, folded(SMALL, tensors), ranges)
    assert usable != ranges
    again = usable_ranges(program, folded(SMALL, tensors), usable)
    assert all(again[name] == pytest.approx(usable[name]) for name in ranges)
    found = tflite(SMALL, ranges, frozenset(), tensors)
    expected = fake_quantised_outputs(SMALL, tensors, ranges, IMAGES)
    assert np.abs(found - expected).max() < 1.01 * output_step(SMALL, ranges)


def test_ranges_of_a_usual_network_stay_as_they_are() -> None:
    weights = get_weights(random_network(SMALL, 0))
    ranges = calibrated_ranges(SMALL, lambda name, _: np.asarray(weights[name]), [IMAGES])
    assert usable_ranges(program_of(SMALL), folded(SMALL, lambda name, _: np.asarray(weights[name])), ranges) == ranges
