"""Doubts about measurements: a fit that is no better than chance, and latencies that look like another unit's.

Both come from honest slips: one column of a spreadsheet sorted without the other, microseconds under `latency_ms`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from latency_models.calibration.measurements import Measurement
from latency_models.calibration.validation import scores
from latency_models.target import Dtype, Target, list_targets
from latency_models.workload import Array
from nas.errors import InvalidInput

CHANCE = 0.05  # probability of such a rank order, or a better one, by chance, from which it counts as one
CLEARLY = 0.5  # of the error of a constant: below, networks are told apart even where so few have no certain order
FAR = 30.0  # factor from the latencies of similar devices: between the fastest and the slowest lie no more
ENOUGH = 20  # networks to compare with other devices: it is a matter of orders of magnitude
UNITS = ((FAR * 1e3, "nanoseconds"), (FAR, "microseconds"))  # of latencies that are too large by the factor or more


def chance_doubt(predicted: Array, measured: Array, quantity: str = "latency") -> str | None:
    """Return a line where predictions [N] of networks left out of a fit are no better than chance, else None.

    They are where their error is at least that of one value for all networks (the best in the least squares of relative
    errors, left out alike), or where their rank order cannot be told from a random one (Kendall's test, one-sided).
    """
    error = float(np.abs(predicted / measured - 1).mean())
    inverse, square = 1 / measured, 1 / measured**2
    without = (inverse.sum() - inverse) / (square.sum() - square)  # the constant fitted to all but one
    constant = float(np.abs(without / measured - 1).mean())
    rank = scores(predicted, measured).spearman
    ordered = rank is not None and stats.kendalltau(predicted, measured, alternative="greater").pvalue <= CHANCE
    if error < constant and (ordered or error < CLEARLY * constant):
        return None
    correlation = "no rank correlation" if rank is None else f"rank correlation {rank:.2f}"
    return (
        f"the fit does not tell the networks apart: {quantity} of networks left out has {correlation} with what was "
        f"measured, and an error of {error:.1%}, where one value for all has {constant:.1%}; rows may be mixed up (was "
        "one column sorted alone?)"
    )


def refuse_chance(doubt: str | None, path: Path, force: bool) -> None:
    """Raise `InvalidInput` where there is a doubt that the fit is better than chance, unless `force` is given."""
    if doubt and not force:
        raise InvalidInput(f"{path} is not written: {doubt}; check the table, or write it all the same with --force")


def unit_doubt(networks: Sequence[Measurement], like: Target | None, dtype: Dtype | None = None) -> str | None:
    """Return a line where latencies are far from those of `like`, or of all targets of a data type; else None."""
    similar = [like] if like else [target for target in list_targets() if dtype in (None, target.dtype)]
    some = networks[:: 1 + len(networks) // ENOUGH]
    logarithms = [np.log(item.latency_ms / _predicted_ms(target, item)) for target in similar for item in some]
    factor = float(np.exp(np.median(logarithms)))
    if 1 / FAR <= factor <= FAR:
        return None
    unit = next((unit for least, unit in UNITS if factor >= least), "seconds")
    times = f"about {factor:,.0f} times" if factor > 1 else f"about 1/{1 / factor:,.0f} of"
    whose = f"those of {like.name}" if like else f"those of {dtype or 'all'} targets"
    remedy = "" if like else "; if they are right, name a similar device with --like"
    return f"the latencies are {times} {whose}: are they in {unit}? The column latency_ms is in milliseconds{remedy}"


def _predicted_ms(target: Target, item: Measurement) -> float:
    """Return the latency of a measured network and batch size on another device."""
    return replace(target.model(), batch=item.batch).predict_ms(item.arch)
