"""The study of what attention costs: its units, its network, and a price that it finds in a measurement it is given."""

import pytest

from experiments.attention_cost import SIZES, at_equal_macs, ib, macs_of, middle, op_ms, print_measured, stage_maps
from latency_models.target import load_target
from nas.ops import Shape


def test_the_block_it_compares_with_has_ratio_1_and_attention_its_own() -> None:
    model, shape = load_target("pixel6-cpu").model(), Shape(14, 14, 160)
    assert at_equal_macs(model, ib(160), shape) == pytest.approx(1)
    op, block = SIZES["4x64 s2"], ib(160)
    times = op_ms(model, op, shape) / op_ms(model, block, shape)
    assert at_equal_macs(model, op, shape) == pytest.approx(times * macs_of(block, shape) / macs_of(op, shape))


def test_attention_stands_on_maps_of_14_and_7_px() -> None:
    assert stage_maps(middle()) == [Shape(14, 14, 128), Shape(7, 7, 192)]


def test_what_a_measurement_leaves_is_its_excess_and_the_predicted_time(capsys: pytest.CaptureFixture[str]) -> None:
    print_measured()
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("pixel")]
    assert len(lines) >= 6
    for _, _, measured, predicted, ours, left, _ in lines:
        excess = 1e3 * (float(measured) - float(predicted)) / 8  # both hybrids have eight
        assert float(left) - float(ours) == pytest.approx(excess, abs=1.5)
