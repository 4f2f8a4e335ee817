"""A calibration method: nine tenths of the extremes."""

from nas.quantisation.grid import Range
from nas.quantisation.histogram import Histogram


def nine_tenths(histogram: Histogram) -> Range:
    """Return 0.9 times the smallest and the largest value."""
    return 0.9 * histogram.low, 0.9 * histogram.high
