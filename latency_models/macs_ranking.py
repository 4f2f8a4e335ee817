"""Does a latency model say more about the order of networks than their number of multiply-accumulates?

A target with one rate, whose kernels are nearly all bound by compute, ranks networks by their MACs alone. A search for
it finds what a search with a bound on MACs would find. That is computed here from the model; no target file states it.
"""

from functools import cache

import numpy as np

from latency_models.kernel_times import KernelColumns, kernel_columns, kernel_times, totals
from latency_models.roofline import Roofline
from latency_models.workload import Array
from nas.zoo import ZOO

BY_MACS = 0.995  # rank correlation of latency with MACs from where a model ranks by MACs alone


def macs_correlation(model: Roofline) -> float:
    """Return Spearman's rank correlation of latencies on `model` with MACs, over the reference networks."""
    columns, macs = _reference_networks()
    return rank_correlation(np.array(totals(columns, kernel_times(columns, model)[0], model)), macs)


def ranks_by_macs(model: Roofline) -> bool:
    """Return whether latencies on `model` rank the reference networks as their MACs do."""
    return macs_correlation(model) >= BY_MACS


def rank_correlation(first: Array, second: Array) -> float:
    """Return Spearman's rho of values [N] and [N], ties with their mean rank; 1 where one of them does not vary."""
    x, y = _ranks(first), _ranks(second)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 1.0
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: Array) -> Array:
    """Return the ranks [N] of values [N], the mean rank for equal ones."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)


@cache
def _reference_networks() -> tuple[KernelColumns, Array]:
    """Return the kernels of the reference networks as columns, and their MACs [N]."""
    archs = [entry.spec() for entry in ZOO.values()]
    return kernel_columns(archs), np.array([arch.macs for arch in archs], np.float64)
