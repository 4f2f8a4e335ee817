"""Calibration of one tensor: histograms that grow, and the ranges that methods read off them."""

import numpy as np
import pytest

from nas.quantisation.histogram import BINS, MAX, Histogram, least_divergence, percentile
from nas.registry import CALIBRATION_METHODS, load

RNG = np.random.default_rng(3)
NORMAL = RNG.normal(size=200_000).astype(np.float32)


def histogram_of(*batches: np.ndarray) -> Histogram:
    found = Histogram()
    for batch in batches:
        found.add(batch)
    return found


def test_a_histogram_keeps_all_values_while_its_range_grows() -> None:
    small, large = NORMAL[:1000], 1000 * NORMAL[1000:2000]
    grown = histogram_of(small, large)
    assert grown.counts.sum() == 2000
    assert (grown.low, grown.high) == MAX(grown) == (float(large.min()), float(large.max()))
    edges = (np.arange(-BINS, BINS + 1) * grown.width).astype(np.float64)
    expected = np.histogram(np.concatenate([small, large]).astype(np.float64), edges)[0]
    assert np.abs(np.cumsum(grown.counts) - np.cumsum(expected)).max() <= 2  # values on an edge of float32


@pytest.mark.parametrize(("percent", "out"), [(99.0, 0.01), (99.99, 0.0001)])
def test_a_percentile_leaves_its_share_out_on_both_sides(percent: float, out: float) -> None:
    found = histogram_of(NORMAL[:100_000], NORMAL[100_000:])
    low, high = percentile(percent)(found)
    assert low == pytest.approx(np.quantile(NORMAL, out / 2), abs=0.02)
    assert high == pytest.approx(np.quantile(NORMAL, 1 - out / 2), abs=0.02)


def test_a_percentile_of_values_of_one_sign_begins_at_zero() -> None:
    low, high = percentile(99.0)(histogram_of(np.maximum(NORMAL, 0)))
    assert low == 0 and 2 < high < 3


def test_the_least_divergence_clips_an_outlier_and_keeps_a_uniform_range() -> None:
    low, high = least_divergence(histogram_of(np.append(NORMAL, np.float32(100))))
    assert -6 < low < -2 and 2 < high < 30
    uniform = RNG.uniform(0, 1, 200_000).astype(np.float32)
    assert least_divergence(histogram_of(uniform)) == pytest.approx((0.0, 1.0), abs=0.02)


def test_all_levels_of_the_grid_count_where_most_values_are_on_one_side_of_0() -> None:
    x = 3 * NORMAL[:8000]
    hswish = x * np.clip(x + 3, 0, 6) / 6  # from -0.375 to 12.1
    low, high = least_divergence(histogram_of(hswish))
    assert low == pytest.approx(-0.375, abs=1e-3)
    assert high > 11  # 9.4 where half of the levels are below 0, as in a symmetric grid


def test_values_that_recur_do_not_draw_the_threshold_in() -> None:
    x = 3 * NORMAL
    hswish = (x * np.clip(x + 3, 0, 6) / 6).astype(np.float32)
    recurring = np.repeat(np.float32([-0.31, -0.27, -0.05, 0, 0.14, 0.68, 0.76]), 20_000)  # a plain background
    (low, high), expected = (least_divergence(histogram_of(x)) for x in (np.append(hswish, recurring), hswish))
    assert (low, high) == pytest.approx(expected, rel=0.1)


def test_few_values_are_not_clipped_by_their_divergence() -> None:
    found = histogram_of(NORMAL[:500])
    assert least_divergence(found) == MAX(found)


@pytest.mark.parametrize("name", CALIBRATION_METHODS)
@pytest.mark.parametrize("values", [np.zeros(10, np.float32), np.float32([-1e-9, 3]), np.float32([-2, -2, 5]), NORMAL])
def test_every_method_gives_a_range_around_0_within_the_extremes(name: str, values: np.ndarray) -> None:
    low, high = load("calibration method", CALIBRATION_METHODS, name)(histogram_of(values))
    assert min(0, values.min()) <= low <= 0 <= high <= max(0, values.max())
