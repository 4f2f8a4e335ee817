"""Plot of a comparison: per target a panel of accuracy against latency, and below it rows of latency alone."""

from collections.abc import Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from nas.compare.compare import Comparison, latency_budgets, records
from nas.records.results import TOP1, display_text, metric_of, title_of
from nas.report.markup import significant
from nas.report.noise import within_noise_of_faster
from nas.report.plot_style import COLOURS, GREY, figure_bytes, reference_colour, round_ticks, shortened
from nas.search.pareto import non_dominated

MARKERS = ("o", "s", "^", "D", "v", "P")
PANEL_WIDTH = 3.9  # inches
PANEL_HEIGHT = 2.9
MOST_ROWS = 30  # of networks without accuracy
ROW_HEIGHT = 0.19  # inches, of one network without accuracy
COLUMNS = 3  # panels side by side
NOISE_GREY = "#a3a9ae"  # of what is within one standard error of a faster network
BUDGET_COLOUR = "#c24f00"


def comparison_plot(comparison: Comparison, form: Literal["png", "svg"] = "png") -> bytes:
    """Return the plot as the bytes of a PNG or SVG file.

    Per kind of accuracy a row of panels, one per target, or several rows of three. Networks without accuracy are in the
    lower part of each panel, on the same latency axis, in a row with their name.
    """
    across = 2 if len(comparison.targets) == 4 else COLUMNS
    chunks = [comparison.targets[i : i + across] for i in range(0, len(comparison.targets), across)]
    bands = [(kind, chunk) for kind in comparison.kinds or ("",) for chunk in chunks]
    without_accuracy = _names_without_accuracy(comparison)
    names = {kind: [] if comparison.is_published(kind) else without_accuracy for kind, _ in bands}
    upper = PANEL_HEIGHT * bool(comparison.kinds)
    heights = [upper + _lower_height(names[kind]) + 1.25 for kind, _ in bands]
    width = PANEL_WIDTH * len(chunks[0]) + 1.6
    settings: dict[Any, Any] = {"text.parse_math": False}  # a dollar in a name is no formula
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, **settings}):
        figure = Figure(figsize=(max(width, 6.4), sum(heights) + 0.2), dpi=150)
        parts = figure.subfigures(len(bands), 1, squeeze=False, height_ratios=heights)[:, 0]
        for subfigure, (kind, targets) in zip(parts, bands, strict=True):
            _plot_band(subfigure, comparison, kind, targets, across=len(chunks[0]), names=names[kind])
        return figure_bytes(figure, form, bbox_inches="tight", pad_inches=0.15)


def _lower_height(names: Sequence[str]) -> float:
    """Return the height in inches of the rows of networks without accuracy."""
    return ROW_HEIGHT * max(len(names), 1)


def _names_without_accuracy(comparison: Comparison) -> list[str]:
    """Return the names of networks without accuracy, the fastest on the first target first; some of many."""
    rows = comparison.of_most_interest(MOST_ROWS).rows if len(comparison.entries) > MOST_ROWS else comparison.rows
    rows = rows[(rows["accuracy_kind"] == "") & (rows["target"] == comparison.targets[0])]
    return [str(name) for name in rows.sort_values("latency_ms")["name"]]


def _plot_band(
    figure: Any,
    comparison: Comparison,
    kind: str,
    targets: Sequence[str],
    *,
    across: int,
    names: list[str],
) -> None:
    """Plot one kind of accuracy on up to `across` targets, and `names`, the networks without accuracy, below."""
    upper, lower = PANEL_HEIGHT * bool(comparison.kinds), _lower_height(names)
    parts = 2 if upper else 1
    axes = figure.subplots(
        parts, across, squeeze=False, sharex="col", sharey="row",
        gridspec_kw={"height_ratios": [upper, lower][2 - parts :], "hspace": 0.05, "wspace": 0.12},
    )  # fmt: skip
    total = upper + lower + 1.25
    figure.subplots_adjust(left=0.1, right=0.98, top=1 - 0.6 / total, bottom=0.55 / total)
    title = f"Accuracy: {display_text(kind)}" if kind else "Latency alone: no accuracy is known"
    figure.suptitle(title, fontsize=10, x=0.1, ha="left", y=1 - 0.12 / total)
    rows = comparison.rows
    for column in range(across):
        if column >= len(targets):
            for axis in axes[:, column]:
                axis.set_visible(False)
            continue
        here = rows[rows["target"] == targets[column]]
        top, bottom = axes[0, column], axes[-1, column]
        if upper:
            known = here[here["accuracy_kind"] == kind]
            if comparison.is_published(kind):
                _plot_references(top, known)
            else:
                _plot_items(top, known, list(rows[rows["accuracy_kind"] == kind]["item"].unique()))
                _plot_budgets(top, latency_budgets(comparison, targets[column]))
            top.tick_params(labelbottom=False, bottom=False)
        top.set_title(shortened(targets[column]), fontsize=10, fontweight="bold", loc="left")
        limits = _set_latency_axis(
            bottom,
            here[here["accuracy_kind"].isin([kind, ""] if names or not upper else [kind])],
            latency_budgets(comparison, targets[column]),
        )
        _plot_latencies(bottom, here[here["name"].isin(names)], names, limits)
        bottom.set_xlabel(f"predicted latency (ms{_error(comparison, targets[column])})")
    if upper:
        is_share = not kind or metric_of(kind) == TOP1
        axes[0, 0].set_ylabel("top-1 accuracy (%)" if is_share else f"{title_of(kind)} x 100")


def _error(comparison: Comparison, target: str) -> str:
    """Return the error of the latencies on a target as the end of the label of an axis, "" where it is not known."""
    known = dict(zip(comparison.targets, comparison.errors, strict=False)).get(target)
    return "" if known is None or known.percent is None else f", {known.text}"


def _plot_items(axis: Any, rows: pd.DataFrame, items: list[str]) -> None:
    """Plot each item: its networks with their standard errors, its front as a line, its chosen network with its name.

    Members of the front that are within one standard error of a faster one are grey.
    """
    axis.grid(True, color="#e6e6e6", linewidth=0.6)
    axis.set_axisbelow(True)
    for item in rows["item"].unique():
        colour, marker = (palette[items.index(item) % len(palette)] for palette in (COLOURS, MARKERS))
        part = rows[rows["item"] == item].sort_values(["latency_ms", "top1"], ascending=[True, False])
        front = non_dominated(part[["latency_ms", "top1"]].to_numpy(), (True, False))
        stair = part[front]
        axis.plot(stair["latency_ms"], 100 * stair["top1"], drawstyle="steps-post", color=colour, linewidth=1.2,
                  alpha=0.55, zorder=1)  # fmt: skip
        alike = dict(zip(stair["name"], within_noise_of_faster(_points(stair)), strict=True))
        for row in records(part):
            _plot_network(axis, row, NOISE_GREY if alike.get(row["name"]) and not row["chosen"] else colour, marker)
    axis.margins(y=0.12)
    axis.legend(loc="lower right", labelcolor="linecolor", fontsize=8.5, framealpha=0.85, edgecolor="none",
                handletextpad=0.3, borderaxespad=0.2)  # fmt: skip


def _points(rows: pd.DataFrame) -> list[tuple[float, float]]:
    """Return the accuracy and the standard error of every row."""
    return [(row["top1"], row["standard_error"]) for row in records(rows)]


def _plot_network(axis: Any, row: dict[str, Any], colour: str, marker: str) -> None:
    """Plot a network with its standard error; one that was chosen is larger, and has its name in the legend."""
    chosen = row["chosen"]
    axis.errorbar(row["latency_ms"], 100 * row["top1"], yerr=100 * row["standard_error"], color=colour, marker=marker,
                  markersize=8 if chosen else 4, capsize=2.5 if chosen else 1.5, markeredgecolor="white",
                  markeredgewidth=1 if chosen else 0.4, linewidth=1.2 if chosen else 0.8, zorder=4 if chosen else 3,
                  label=shortened(row["name"]).lstrip("_") if chosen else None)  # fmt: skip


def _plot_budgets(axis: Any, budgets: Sequence[float]) -> None:
    """Plot latency budgets in ms as dashed lines, a mark on the axis, and their values above."""
    for budget in budgets:
        axis.axvline(budget, color=BUDGET_COLOUR, linewidth=1.1, linestyle=(0, (4, 2.5)), zorder=2)
        axis.plot(budget, 0, marker="^", color=BUDGET_COLOUR, markersize=5, clip_on=False, zorder=5,
                  transform=axis.get_xaxis_transform())  # fmt: skip
        axis.annotate(f"budget {budget:.3g} ms", (budget, 1), xycoords=axis.get_xaxis_transform(), fontsize=7.5,
                      color=BUDGET_COLOUR, xytext=(-3, -8), textcoords="offset points", ha="right")  # fmt: skip


def _plot_references(axis: Any, rows: pd.DataFrame) -> None:
    """Plot references with published accuracies: their front as a line, the networks on it with their names."""
    axis.grid(True, color="#e6e6e6", linewidth=0.6)
    axis.set_axisbelow(True)
    rows = rows.sort_values("latency_ms")
    best = rows[rows["on_front"]]
    axis.plot(best["latency_ms"], 100 * best["top1"], color="black", linewidth=0.9, drawstyle="steps-post")
    colours = [reference_colour(name) for name in rows["name"]]
    axis.scatter(rows["latency_ms"], 100 * rows["top1"], c=colours, s=18, zorder=3)
    axis.errorbar(rows["latency_ms"], 100 * rows["top1"], yerr=100 * rows["standard_error"], ecolor=colours,
                  elinewidth=0.8, fmt="none", zorder=2)  # fmt: skip
    for row in records(best):
        axis.annotate(row["name"], (row["latency_ms"], 100 * row["top1"]), fontsize=6.5,
                      color=reference_colour(row["name"]), xytext=(-4, 3), textcoords="offset points",
                      ha="right")  # fmt: skip
    axis.margins(y=0.12)


def _plot_latencies(axis: Any, rows: pd.DataFrame, names: list[str], limits: tuple[float, float]) -> None:
    """Plot a row per network without accuracy: a tick for a reference, a dot for a spec, text where off the axis."""
    axis.set_ylim(len(names) - 0.4, -0.9)
    axis.set_yticks(range(len(names)), [shortened(name) for name in names], fontsize=8)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.hlines(range(len(names)), 0, 1, transform=axis.get_yaxis_transform(), color="#ececec", linewidth=0.6, zorder=0)
    for row in records(rows):
        spec, at, height = row["source"] == "spec", row["latency_ms"], names.index(row["name"])
        if limits[0] <= at <= limits[1]:
            axis.plot(at, height, marker="o" if spec else "|", color="black" if spec else GREY,
                      markersize=5 if spec else 8, markeredgewidth=0 if spec else 1.8, linestyle="none")  # fmt: skip
            continue
        right = at > limits[1]
        text = f"{significant(at)} ms"
        axis.text(float(right), height, f"{text} \u25b8" if right else f"\u25c2 {text}", color=GREY,
                  transform=axis.get_yaxis_transform(), ha="right" if right else "left", va="center", fontsize=7.5,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip


def _set_latency_axis(axis: Any, rows: pd.DataFrame, budgets: Sequence[float]) -> tuple[float, float]:
    """Give the axis a logarithmic scale that holds what is compared, the budgets and the nearest reference.

    Returns its limits. Of references without accuracy, those outside are written at its ends.
    """
    compared = rows[(rows["source"] != "reference") | (rows["accuracy_kind"] != "")]
    latencies = (rows if compared.empty else compared)["latency_ms"].to_numpy(float)
    middle = np.sqrt(latencies.min() * latencies.max())
    references = rows[(rows["source"] == "reference") & (rows["accuracy_kind"] == "")]["latency_ms"].to_numpy(float)
    nearest = sorted(references, key=lambda ms: abs(np.log(ms / middle)))[:1]
    shown = [*latencies, *budgets, *nearest]
    spread = max(shown) / min(shown)
    room = max(1.015, spread**0.12) if len(references) else max(1.1, spread**0.35)  # for names to the left
    low, high = min(shown) / room, max(shown) * max(1.02, spread**0.25)
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    ticks = round_ticks(float(low), float(high))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    return float(low), float(high)
