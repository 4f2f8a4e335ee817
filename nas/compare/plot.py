"""The image of a comparison: per target a panel of accuracy against latency, and below it every network's latency."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from nas.compare.compare import Comparison, records
from nas.report.plot_style import COLOURS, FAMILY, GREY, round_ticks, saved, shortened
from nas.search.pareto import non_dominated

if TYPE_CHECKING:
    import pandas as pd

MARKERS = ("o", "s", "^", "D", "v", "P")
PANEL_WIDTH = 3.9  # inches
PANEL_HEIGHT = 2.9
ROW_HEIGHT = 0.19  # of one network in the lower part
ACROSS = 3  # panels side by side
NEAREST = 5  # references that are on the axis for certain


def comparison_plot(comparison: Comparison, form: Literal["png", "svg"] = "png") -> bytes:
    """Return the comparison as PNG or SVG. One row of panels (or several, three targets each) per kind of accuracy.

    Networks without accuracy stand in the lower part of each panel, on the same latency axis, in a row with their name.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    across = 2 if len(comparison.targets) == 4 else ACROSS
    chunks = [comparison.targets[i : i + across] for i in range(0, len(comparison.targets), across)]
    bands = [(kind, chunk) for kind in comparison.kinds or ("",) for chunk in chunks]
    below = _rows_below(comparison)
    names = {kind: [] if comparison.is_published(kind) else below for kind, _ in bands}
    upper = PANEL_HEIGHT * bool(comparison.kinds)
    heights = [upper + _lower(names[kind]) + 1.25 for kind, _ in bands]
    width = PANEL_WIDTH * len(chunks[0]) + 1.6
    plain: dict[Any, Any] = {"text.parse_math": False}  # a dollar in a name is no formula
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, **plain}):
        figure = Figure(figsize=(max(width, 6.4), sum(heights) + 0.2), dpi=150)
        parts = figure.subfigures(len(bands), 1, squeeze=False, height_ratios=heights)[:, 0]
        for subfigure, (kind, targets) in zip(parts, bands, strict=True):
            _band(subfigure, comparison, kind, targets, across=len(chunks[0]), names=names[kind])
        return saved(figure, form, bbox_inches="tight", pad_inches=0.15)


def _lower(names: Sequence[str]) -> float:
    """Return the height in inches of the rows of networks without accuracy."""
    return ROW_HEIGHT * max(len(names), 1)


def _rows_below(comparison: Comparison) -> list[str]:
    """Return the names of all networks without accuracy, the quickest on the first target first."""
    rows = comparison.rows
    rows = rows[(rows["accuracy_kind"] == "") & (rows["target"] == comparison.targets[0])]
    return [str(name) for name in rows.sort_values("latency_ms")["name"]]


def _band(
    figure: Any,
    comparison: Comparison,
    kind: str,
    targets: Sequence[str],
    *,
    across: int,
    names: list[str],
) -> None:
    upper, lower = PANEL_HEIGHT * bool(comparison.kinds), _lower(names)
    parts = 2 if upper else 1
    axes = figure.subplots(
        parts, across, squeeze=False, sharex="col", sharey="row",
        gridspec_kw={"height_ratios": [upper, lower][2 - parts :], "hspace": 0.05, "wspace": 0.12},
    )  # fmt: skip
    total = upper + lower + 1.25
    figure.subplots_adjust(left=0.1, right=0.98, top=1 - 0.6 / total, bottom=0.55 / total)
    title = f"Accuracy: {kind}" if kind else "Latency alone: no accuracy is known"
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
                _references(top, known)
            else:
                _scatter(top, known, list(rows[rows["accuracy_kind"] == kind]["item"].unique()))
            top.tick_params(labelbottom=False, bottom=False)
        top.set_title(shortened(targets[column]), fontsize=10, fontweight="bold", loc="left")
        limits = _latency_axis(bottom, here[here["accuracy_kind"].isin([kind, ""] if names or not upper else [kind])])
        _latencies(bottom, here[here["name"].isin(names)], names, limits)
        bottom.set_xlabel("predicted latency (ms)")
    if upper:
        axes[0, 0].set_ylabel("top-1 accuracy (%)")


def _scatter(axis: Any, rows: "pd.DataFrame", items: list[str]) -> None:
    """Draw each item's points, its front as a line, its chosen network large, with name and standard error."""
    axis.grid(True, color="#e6e6e6", linewidth=0.6)
    axis.set_axisbelow(True)
    for item in rows["item"].unique():
        colour, marker = (palette[items.index(item) % len(palette)] for palette in (COLOURS, MARKERS))
        part = rows[rows["item"] == item].sort_values(["latency_ms", "top1"], ascending=[True, False])
        x, y = part["latency_ms"].to_numpy(), 100 * part["top1"].to_numpy()
        front = non_dominated(part[["latency_ms", "top1"]].to_numpy(), (True, False))
        axis.plot(x[front], y[front], drawstyle="steps-post", color=colour, linewidth=1.3, alpha=0.7)
        axis.scatter(x, y, s=12, color=colour, marker=marker, linewidths=0)
        for row in records(part[part["chosen"]]):
            axis.errorbar(row["latency_ms"], 100 * row["top1"], yerr=100 * row["standard_error"], color=colour,
                          marker=marker, markersize=8, capsize=2.5, markeredgecolor="white", linewidth=1,
                          label=shortened(row["name"]).lstrip("_"))  # fmt: skip
    axis.margins(y=0.12)
    axis.legend(loc="lower right", labelcolor="linecolor", fontsize=8.5, framealpha=0.85, edgecolor="none",
                handletextpad=0.3, borderaxespad=0.2)  # fmt: skip


def _references(axis: Any, rows: "pd.DataFrame") -> None:
    """Draw references with published accuracies: their front as a line, its members with their names."""
    axis.grid(True, color="#e6e6e6", linewidth=0.6)
    axis.set_axisbelow(True)
    rows = rows.sort_values("latency_ms")
    best = rows[rows["on_front"]]
    axis.plot(best["latency_ms"], 100 * best["top1"], color="black", linewidth=0.9, drawstyle="steps-post")
    colours = [COLOURS[0] if name.startswith(FAMILY) else GREY for name in rows["name"]]
    axis.scatter(rows["latency_ms"], 100 * rows["top1"], c=colours, s=18, zorder=3)
    for row in records(best):
        colour = COLOURS[0] if row["name"].startswith(FAMILY) else GREY
        axis.annotate(row["name"], (row["latency_ms"], 100 * row["top1"]), fontsize=6.5, color=colour, xytext=(-4, 3),
                      textcoords="offset points", ha="right")  # fmt: skip
    axis.margins(y=0.12)


def _latencies(axis: Any, rows: "pd.DataFrame", names: list[str], limits: tuple[float, float]) -> None:
    """Draw one row per network without accuracy: a tick for a reference, a dot for a spec, a number beyond the axis."""
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
        axis.text(float(right), height, f"{at:.3g} ms \u25b8" if right else f"\u25c2 {at:.3g} ms", color=GREY,
                  transform=axis.get_yaxis_transform(), ha="right" if right else "left", va="center", fontsize=7.5,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip


def _latency_axis(axis: Any, rows: "pd.DataFrame") -> tuple[float, float]:
    """Give the axis a logarithmic scale with plain numbers, for all but far references; return its limits."""
    import numpy as np
    from matplotlib.ticker import NullLocator

    compared = rows[(rows["source"] != "reference") | (rows["accuracy_kind"] != "")]
    latencies = (rows if compared.empty else compared)["latency_ms"].to_numpy(float)
    middle = np.sqrt(latencies.min() * latencies.max())
    references = rows[(rows["source"] == "reference") & (rows["accuracy_kind"] == "")]["latency_ms"].to_numpy(float)
    nearest = sorted(references, key=lambda ms: abs(np.log(ms / middle)))[:NEAREST]
    room = 1.1 if len(references) else (latencies.max() / latencies.min()) ** 0.35  # for names to the left
    low, high = min([*latencies, *nearest]) / max(room, 1.1), max([*latencies, *nearest]) * 1.1
    if len(references):
        room = latencies.max() ** 2 / latencies.min()  # for references as much as the networks take
        high = max(high, room)
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    ticks = round_ticks(float(low), float(high))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    return float(low), float(high)
