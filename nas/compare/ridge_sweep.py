"""Sweep of the ridge point: which networks are on the front at each, and the time per op. arXiv 2404.10518, section 3.

A ridge point is the peak of a device in MACs per second over its bandwidth in bytes per second. Under the roofline of
Eq. 1 with one byte per element, time is proportional to sum over kernels of max(MACs, ridge point x bytes): at ridge
point 0 the MAC count, towards infinity the bytes moved. All latencies here are that sum in units of 1e9, so in seconds
on a device whose peak is 1 GMAC/s, and devices of one peak and different bandwidths compare with each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.records.networks import PUBLISHED_KIND, VALIDATION_IMAGES
from nas.report.network_blocks import block_position
from nas.search.pareto import non_dominated
from nas.zoo import BASELINES, Series, parse_reference, published_accuracy, reference

RIDGE_POINTS = tuple(float(point) for point in range(0, 501, 5))  # MACs per byte, the range of the paper's Fig. 2
LOW, HIGH = 5.0, 500.0  # where op costs are shown: below every CPU of the paper's Tab. 16, and above its accelerators


@dataclass(frozen=True)
class SweptNetwork:
    """A network of the sweep with its accuracy, a fraction; only networks with one `kind` of accuracy share a front."""

    name: str
    arch: ArchSpec
    top1: float
    kind: str
    standard_error: float = 0.0


def published_candidates(names: Sequence[str] = BASELINES, series: Series = "authors") -> list[SweptNetwork]:
    """Return the reference networks `names`, as in `nas.zoo.parse_reference`, with their published accuracies.

    Raises `InvalidInput` where none is known for a width or resolution.
    """
    found = []
    for name in names:
        top1 = published_accuracy(*parse_reference(name), series).top1_percent / 100
        error = math.sqrt(top1 * (1 - top1) / VALIDATION_IMAGES)
        found.append(SweptNetwork(name, reference(name), top1, PUBLISHED_KIND[series], error))
    return found


def kernel_latencies(arch: ArchSpec, ridge_points: Sequence[float]) -> NDArray[np.float64]:
    """Return the time of each kernel of `arch` at each ridge point, [R, K], in units of 1e9 MACs at the peak."""
    if not all(np.isfinite(ridge_points)) or min(ridge_points, default=0) < 0:
        raise InvalidInput(f"ridge points must be 0 or more and finite, got {list(ridge_points)}")
    macs = np.array([kernel.macs for kernel in arch.kernels], np.float64)
    moved = np.array([kernel.weights + kernel.reads + kernel.writes for kernel in arch.kernels], np.float64)
    return np.maximum(macs, np.asarray(ridge_points, np.float64)[:, None] * moved) / 1e9


def sweep(candidates: Sequence[SweptNetwork], ridge_points: Sequence[float] = RIDGE_POINTS) -> pd.DataFrame:
    """Return one row per candidate and ridge point.

    Columns: name, kind, top1, standard_error, resolution (px), ridge_point (MACs/byte), latency_gmacs, on_front (among
    its kind).
    """
    if not candidates or not ridge_points:
        raise InvalidInput("a ridge sweep needs at least one network with a known accuracy and one ridge point")
    times = [kernel_latencies(candidate.arch, ridge_points).sum(axis=1) for candidate in candidates]
    rows = pd.DataFrame(
        {
            "name": candidate.name,
            "kind": candidate.kind,
            "top1": candidate.top1,
            "standard_error": candidate.standard_error,
            "resolution": candidate.arch.input_shape.size.json,
            "ridge_point": point,
            "latency_gmacs": time,
        }
        for candidate, own in zip(candidates, times, strict=True)
        for point, time in zip(ridge_points, own, strict=True)
    )
    rows["on_front"] = False
    for _, group in rows.groupby(["kind", "ridge_point"], sort=False):
        points = group[["latency_gmacs", "top1"]].to_numpy()
        rows.loc[group.index, "on_front"] = non_dominated(points, (True, False))
    return rows


def op_costs(candidates: Sequence[SweptNetwork], ridge_points: Sequence[float] = (LOW, HIGH)) -> pd.DataFrame:
    """Return the share of its network's time that each op takes: one row per network, ridge point and op.

    Columns: name, ridge_point, op (its number along the network, from 0), position ("stage.op" or "head"), type, share.
    """
    rows = []
    for candidate in candidates:
        arch = candidate.arch
        types = {position: op.tag for position, op, _ in arch.iter_ops()} | {"head": "head"}
        positions = [block_position(kernel.name) for kernel in arch.kernels]
        for point, times in zip(ridge_points, kernel_latencies(arch, ridge_points), strict=True):
            total = times.sum()
            for number, (position, tag) in enumerate(types.items()):
                share = sum(time for time, own in zip(times, positions, strict=True) if own == position) / total
                rows.append((candidate.name, point, number, position, tag, float(share)))
    return pd.DataFrame(rows, columns=["name", "ridge_point", "op", "position", "type", "share"])


def front_ranges(rows: pd.DataFrame) -> dict[str, list[tuple[float, float]]]:
    """Return for every network of one kind the ranges of ridge points, ends included, where it is on the front.

    A range ends at the last swept point that belongs to it.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for name, group in rows.groupby("name", sort=False):
        ranges: list[tuple[float, float]] = []
        inside = False
        for point, on_front in group.sort_values("ridge_point")[["ridge_point", "on_front"]].to_numpy():
            if on_front:
                ranges = [*ranges[:-1], (ranges[-1][0], float(point))] if inside else [*ranges, (float(point),) * 2]
            inside = bool(on_front)
        found[str(name)] = ranges
    return found


def ranges_text(ranges: Sequence[tuple[float, float]]) -> str:
    """Return ranges as text, "never" for none."""
    return ", ".join(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ranges) or "never"
