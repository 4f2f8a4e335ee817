"""The files of a ridge-point sweep: tables and plot."""

from collections.abc import Sequence
from pathlib import Path

from nas.compare.files import csv_text
from nas.compare.ridge_sweep import RIDGE_POINTS, SweptNetwork, op_costs, sweep
from nas.files import write_whole


def write_ridge_sweep(
    candidates: Sequence[SweptNetwork], out: Path, ridge_points: Sequence[float] = RIDGE_POINTS
) -> list[Path]:
    """Write ridge_sweep.csv, ridge_op_costs.csv, ridge_sweep.png and .svg into the folder `out`; return the paths."""
    from nas.compare.ridge_plot import ridge_plot  # loads matplotlib

    rows, costs = sweep(candidates, ridge_points), op_costs(candidates)
    names = ("ridge_sweep.csv", "ridge_op_costs.csv", "ridge_sweep.png", "ridge_sweep.svg")
    paths = [out / name for name in names]
    write_whole(paths[0], csv_text(rows))
    write_whole(paths[1], csv_text(costs))
    write_whole(paths[2], ridge_plot(rows, costs))
    write_whole(paths[3], ridge_plot(rows, costs, "svg"))
    return paths
