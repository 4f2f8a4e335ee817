"""Calibration of one tensor: a histogram that grows with its values, and the ranges that methods read off it.

Methods of Wu et al., arXiv 2004.09602, section 4: the extremes; the range that leaves the least Kullback-Leibler
divergence between the values and their int8 form; the range of a percentile of the values. A histogram takes any number
of images, one batch after the other, in constant memory.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nas.quantisation.grid import HIGH, LOW, Range

BINS = 4096  # on either side of 0
LEVELS = HIGH - LOW + 1
LEAST_COUNT = 16  # values per bin, in the mean
SEARCHED = 256  # thresholds that are tried
NEIGHBOURS = 4  # bins on either side, whose median a density does not exceed
SMALLEST = 1e-12  # of a value that sets the width of a bin
EMPTY = 1e-9  # probability of a value where the int8 form has none: a large divergence, not an infinite one


@dataclass
class Histogram:
    """Counts of values in bins of equal width around 0; the width doubles when a value is beyond the last bin."""

    width: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2 * BINS, np.int64))
    low: float = 0.0
    high: float = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count finite values of any shape."""
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        largest = max(-low, high, SMALLEST)
        if not self.width:
            self.width = largest / BINS * (1 + 1e-6)
        while largest >= self.width * BINS:
            self._double()
        at = np.floor(values.reshape(-1) * np.float32(1 / self.width)).astype(np.int64) + BINS
        self.counts += np.bincount(np.clip(at, 0, 2 * BINS - 1), minlength=2 * BINS)

    def _double(self) -> None:
        """Join pairs of bins, so that the same number of them spans twice the range."""
        joined = self.counts.reshape(-1, 2).sum(1)
        self.counts = np.zeros_like(self.counts)
        self.counts[BINS // 2 : BINS // 2 + BINS] = joined
        self.width *= 2

    def clipped(self, low: float, high: float) -> Range:
        """Return the range within the extremes; 0 lies in it."""
        return min(0.0, max(low, self.low)), max(0.0, min(high, self.high))


Method = Callable[[Histogram], Range]


def extremes(histogram: Histogram) -> Range:
    """Return the smallest and the largest value."""
    return histogram.low, histogram.high


def percentile(percent: float) -> Method:
    """Return the method whose range holds this percentage of the values; what it leaves out is shared by both ends."""

    def ends(histogram: Histogram) -> Range:
        share = np.cumsum(histogram.counts) / histogram.counts.sum()
        out = (1 - percent / 100) / 2
        first, last = np.searchsorted(share, out, "right"), np.searchsorted(share, 1 - out, "left")
        return histogram.clipped((int(first) - BINS) * histogram.width, (int(last) + 1 - BINS) * histogram.width)

    return ends


def least_divergence(histogram: Histogram) -> Range:
    """Return the range of the least Kullback-Leibler divergence between the values and their int8 form.

    A threshold is sought, as TensorRT does (Migacz, "8-bit inference with TensorRT", GTC 2017): the range holds the
    values within it, those beyond count as clipped to its ends, and each level of the grid is spread over its values.
    TensorRT's grid is symmetric, with 128 levels for magnitudes. Ours has all levels between the ends, so that a hard
    swish, from -0.375 to 10 say, has most of them above 0: the histogram keeps its sign.

    Single values that recur, as zeros behind a ReLU and the answers of filters to a plain background, are taken down to
    the density around them: spreading them over a level would count as a loss, the larger the wider the level is, and
    draw the threshold in, though rounding moves them no more than any other value.
    """
    counts, width, zero = histogram.counts.astype(np.float64), histogram.width, BINS
    first, end = _used(counts)
    while counts.sum() < LEAST_COUNT * (end - first) and end - first > LEVELS:  # bins of few values show no density
        counts, width, zero = counts.reshape(-1, 2).sum(1), 2 * width, zero // 2
        first, end = _used(counts)
    if end - first <= LEVELS:
        return extremes(histogram)
    counts = _without_spikes(counts)
    largest = max(zero - first, end - zero)
    best, threshold = np.inf, largest
    for bins in map(int, np.unique(np.linspace(LEVELS // 2, largest, SEARCHED).astype(int))[::-1]):
        low, high = max(first, zero - bins), min(end, zero + bins)
        if high - low >= LEVELS and (found := _divergence(counts, low, high)) < best:
            best, threshold = found, bins
    return histogram.clipped(-threshold * width, threshold * width)


def _without_spikes(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the counts [bins], none above the median around it; a bin that holds values keeps at least one."""
    around = sliding_window_view(np.pad(counts, NEIGHBOURS), 2 * NEIGHBOURS + 1)
    return np.minimum(counts, np.maximum(np.median(around, axis=1), 1))


def _used(counts: NDArray[np.float64]) -> tuple[int, int]:
    """Return the first bin that holds a value, and the one behind the last; 0 and 0 where none does."""
    used = np.flatnonzero(counts)
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)


def _divergence(counts: NDArray[np.float64], low: int, high: int) -> float:
    """Return the divergence where the bins from `low` to before `high` are kept, and the levels of the grid span them.

    What is clipped counts for the values, not for their int8 form.
    """
    kept = counts[low:high]
    clipped = kept.copy()
    clipped[0] += counts[:low].sum()
    clipped[-1] += counts[high:].sum()
    level = np.arange(len(kept)) * LEVELS // len(kept)
    present = kept > 0
    sums, held = np.bincount(level, kept, LEVELS), np.bincount(level, present, LEVELS)
    spread = np.where(present, sums[level] / np.maximum(held[level], 1), 0.0)
    p, q = clipped / clipped.sum(), spread / max(spread.sum(), 1)
    some = p > 0
    return float((p[some] * np.log(p[some] / np.maximum(q[some], EMPTY))).sum())


MAX: Method = extremes
ENTROPY: Method = least_divergence
PERCENTILE_99_99: Method = percentile(99.99)
PERCENTILE_99_999: Method = percentile(99.999)
