"""Plot of a ridge-point sweep: fronts at a few ridge points, where each network is on the front, and cost per op."""

from collections.abc import Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from nas.compare.ridge_sweep import front_ranges
from nas.records.results import display_text
from nas.report.plot_style import figure_bytes, reference_colour, round_ticks, shortened

PANELS = 4  # fronts side by side
PANEL_WIDTH, PANEL_HEIGHT, ROW_HEIGHT = 3.3, 2.6, 0.2  # inches
BINS = 40  # of the position along a network


def ridge_plot(rows: pd.DataFrame, costs: pd.DataFrame, form: Literal["png", "svg"] = "png") -> bytes:
    """Return the plot as the bytes of a PNG or SVG file.

    Per kind of accuracy a row of panels with fronts and a chart of where each network is on the front, then a chart of
    the share of the time that each op takes.

    `rows` are those of `nas.compare.ridge_sweep.sweep`, `costs` those of `op_costs`.
    """
    kinds = list(rows["kind"].unique())
    counts = [rows[rows["kind"] == kind]["name"].nunique() for kind in kinds]
    heights = [size for count in counts for size in (PANEL_HEIGHT + 0.9, ROW_HEIGHT * count + 0.9)]
    heights.append(ROW_HEIGHT * costs["name"].nunique() + 1.2)
    settings: dict[Any, Any] = {"text.parse_math": False}
    with mpl.rc_context({"font.size": 8.5, "axes.spines.top": False, "axes.spines.right": False, **settings}):
        figure = Figure(figsize=(PANEL_WIDTH * PANELS, sum(heights)), dpi=130, layout="constrained")
        parts = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
        for kind in kinds:
            of_kind = rows[rows["kind"] == kind]
            _plot_fronts(parts.pop(0), of_kind, str(kind))
            _plot_front_ranges(parts.pop(0), of_kind)
        _plot_op_costs(parts.pop(0), costs)
        return figure_bytes(figure, form)


def shown_points(points: Sequence[float]) -> list[float]:
    """Return up to `PANELS` of the swept ridge points: the first, the last, and those nearest to 6 and 30 % between."""
    ordered = sorted(set(points))
    positions = [ordered[0] + (ordered[-1] - ordered[0]) * share for share in (0, 0.06, 0.3, 1)]
    return sorted({min(ordered, key=lambda point: abs(point - one)) for one in positions})


def _plot_fronts(figure: Any, rows: pd.DataFrame, kind: str) -> None:
    """Plot accuracy against latency at a few ridge points, the front as a line, networks on it with their numbers."""
    figure.suptitle(f"Accuracy: {display_text(kind)}", x=0.01, ha="left", fontsize=10)
    numbers = {name: number for number, name in enumerate(_by_accuracy(rows)["name"], start=1)}
    points = shown_points(list(rows["ridge_point"].unique()))
    axes = figure.subplots(1, PANELS, sharey=True, squeeze=False)[0]
    for axis in axes[len(points) :]:
        axis.set_visible(False)
    for axis, point in zip(axes, points, strict=False):
        here = rows[rows["ridge_point"] == point].sort_values("latency_gmacs")
        front = here[here["on_front"]]
        axis.grid(True, color="#ececec", linewidth=0.6)
        axis.plot(front["latency_gmacs"], 100 * front["top1"], color="black", linewidth=0.9, drawstyle="steps-post")
        colours = [reference_colour(str(name)) for name in here["name"]]
        axis.scatter(here["latency_gmacs"], 100 * here["top1"], c=colours, s=16, zorder=3)
        axis.errorbar(here["latency_gmacs"], 100 * here["top1"], yerr=100 * here["standard_error"], ecolor=colours,
                      elinewidth=0.7, fmt="none", zorder=2)  # fmt: skip
        for name, x, y in zip(front["name"], front["latency_gmacs"], 100 * front["top1"], strict=True):
            axis.annotate(str(numbers[name]), (x, y), fontsize=7.5, xytext=(-3, 3), textcoords="offset points",
                          color=reference_colour(str(name)), ha="right")  # fmt: skip
        axis.set_xscale("log")
        axis.xaxis.set_minor_locator(NullLocator())
        ticks = round_ticks(*axis.get_xlim())
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_title(f"ridge point {point:g} MACs/byte", loc="left", fontsize=9)
        axis.set_xlabel("latency (s at a peak of 1 GMAC/s)")
    axes[0].set_ylabel("top-1 (%)")


def _by_accuracy(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per network, the best accuracy first."""
    return rows.drop_duplicates("name").sort_values("top1", ascending=False, kind="stable")


def _plot_front_ranges(figure: Any, rows: pd.DataFrame) -> None:
    """Plot per network, the most accurate first, the ranges of ridge points at which it is on the front."""
    ranges = front_ranges(rows)
    best = _by_accuracy(rows)
    axis = figure.subplots()
    points = sorted(rows["ridge_point"].unique())
    step = min(np.diff(points), default=1.0)
    for height, name in enumerate(best["name"]):
        axis.axhline(height, color="#ececec", linewidth=0.6, zorder=0)
        bars = [(low - step / 2, high - low + step) for low, high in ranges[name]]
        axis.broken_barh(bars, (height - 0.32, 0.64), facecolors=reference_colour(name))
    labels = [
        f"{shortened(name)} ({px} px, {100 * top1:.1f} %) {number:3}"
        for number, (name, px, top1) in enumerate(best[["name", "resolution", "top1"]].to_numpy(), start=1)
    ]
    axis.set_yticks(range(len(best)), labels, fontsize=7.5)
    axis.set_ylim(len(best) - 0.4, -0.6)
    axis.set_xlim(points[0] - step / 2, points[-1] + step / 2)
    axis.set_xlabel("ridge point (MACs/byte) at which the network is not dominated")
    axis.tick_params(axis="y", length=0)


def _plot_op_costs(figure: Any, costs: pd.DataFrame) -> None:
    """Plot each network as a row from its first op to its last, darker where an op takes more of the time."""
    figure.suptitle("Share of the time along the network, first op to last", x=0.01, ha="left", fontsize=10)
    names, points = list(costs["name"].unique()), sorted(costs["ridge_point"].unique())
    axes = figure.subplots(1, len(points), sharey=True, squeeze=False)[0]
    for axis, point in zip(axes, points, strict=True):
        here = costs[costs["ridge_point"] == point]
        grid = np.array([_binned(here[here["name"] == name]["share"].to_numpy()) for name in names])
        image = axis.imshow(100 * grid, aspect="auto", cmap="magma_r", vmin=0, vmax=100 * float(grid.max()),
                            extent=(0, 1, len(names) - 0.5, -0.5))  # fmt: skip
        axis.set_title(f"ridge point {point:g} MACs/byte", loc="left", fontsize=9)
        axis.set_yticks(range(len(names)), [shortened(name) for name in names], fontsize=7.5)
        axis.set_xlabel("position along the network")
        figure.colorbar(image, ax=axis, label="% of the time per op")


def _binned(shares: Any) -> Any:
    """Return the shares of K ops at `BINS` places along the network."""
    return shares[np.minimum((np.arange(BINS) + 0.5) / BINS * len(shares), len(shares) - 1).astype(int)]
