"""Plot of one network, for a paper: a row per block with its kernels as trapezoids, its share of MACs and of time."""

from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.ops import KINDS, Kind
from nas.report.network_summary import BlockCost, block_costs, title, totals_text
from nas.report.plot_style import figure_bytes

KIND_COLOURS: dict[Kind, str] = {
    "conv": "#56b4e9", "pointwise": "#2b6cb0", "depthwise": "#009e73", "dense": "#8a8f94", "matmul": "#cc79a7",
    "pool": "#c9a227", "elementwise": "#b9bec2",
}  # fmt: skip
MACS_COLOUR, TIME_COLOUR = "#0072b2", "#c24f00"
ROW_HEIGHT = 0.3  # inches
PLOT_WIDTH = 10.0  # inches
NO_WEIGHTS_WIDTH = 0.35  # width of a kernel without weights, relative to others


def network_plot(arch: ArchSpec, model: Roofline, form: Literal["png", "svg"] = "png") -> bytes:
    """Return the plot of `arch` with its costs on the device of `model` as the bytes of a PNG or SVG file."""
    costs = block_costs(arch, model)
    lines = totals_text(arch, model)
    settings: dict[Any, Any] = {"text.parse_math": False, "font.size": 8}
    with mpl.rc_context(settings):
        height = ROW_HEIGHT * len(costs) + 1.2 + 0.18 * len(lines)
        figure = Figure(figsize=(PLOT_WIDTH, height), dpi=150)
        shapes, macs, time = figure.subplots(
            1, 3, sharey=True, gridspec_kw={"width_ratios": [3.3, 1, 1], "wspace": 0.05}
        )
        top, bottom = 1 - (0.6 + 0.18 * len(lines)) / height, 0.45 / height
        figure.subplots_adjust(left=0.09, right=0.98, top=top, bottom=bottom)
        figure.text(0.02, 1 - 0.22 / height, title(arch, model), fontsize=10, fontweight="bold")
        figure.text(0.02, 1 - 0.3 / height, "\n".join(lines), va="top", color="#555555")
        _plot_kernels(shapes, costs)
        largest = 100 * max(max(cost.macs_share, cost.time_share) for cost in costs)
        _plot_shares(macs, [cost.macs_share for cost in costs], largest, heading="% of MACs", colour=MACS_COLOUR)
        _plot_shares(
            time, [cost.time_share for cost in costs], largest, heading="% of time in kernels", colour=TIME_COLOUR
        )
        return figure_bytes(figure, form)


def _plot_kernels(axis: Axes, costs: list[BlockCost]) -> None:
    """Plot a row per block: its kernels as trapezoids, as high as the root of their channels, and its description."""
    widest = max(k.out_shape.channels for cost in costs for k in cost.kernels if k.kind not in ("dense", "pool"))
    for row, cost in enumerate(costs):
        weights = [NO_WEIGHTS_WIDTH if kernel.kind in ("pool", "elementwise") else 1.0 for kernel in cost.kernels]
        left, unit = 0.0, 1 / sum(weights)
        for kernel, weight in zip(cost.kernels, weights, strict=True):
            right = left + weight * unit
            sides = [0.4 * min(1, s.channels / widest) ** 0.5 for s in (kernel.in_shape, kernel.out_shape)]
            corners = [(left, row - sides[0]), (right, row - sides[1]), (right, row + sides[1]), (left, row + sides[0])]
            axis.fill(*zip(*corners, strict=True), color=KIND_COLOURS[kernel.kind], edgecolor="white", linewidth=0.8)
            if kernel.kernel_size > 1:
                axis.text((left + right) / 2, row, str(kernel.kernel_size), ha="center", va="center", fontsize=6.5)
            left = right
        if cost.block.residual:
            axis.plot([-0.02, -0.02, 1.02, 1.02], [row, row - 0.43, row - 0.43, row], color="#777777", linewidth=0.6)
        axis.text(1.06, row, cost.block.description, va="center")
    stages = [cost.block.stage for cost in costs]
    axis.set_yticks(range(len(costs)), [s if s not in stages[:i] else "" for i, s in enumerate(stages)])
    axis.set_ylim(len(costs) - 0.5, -0.5)
    axis.set_xlim(-0.05, 3.0)
    axis.set_xticks([])
    axis.tick_params(axis="y", length=0)
    for side in axis.spines.values():
        side.set_visible(False)
    used = {kernel.kind for cost in costs for kernel in cost.kernels}
    handles = [Patch(color=KIND_COLOURS[kind], label=kind) for kind in KINDS if kind in used]
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 0), ncols=7, frameon=False, fontsize=7,
                handlelength=0.8, columnspacing=1, borderaxespad=0.8)  # fmt: skip


def _plot_shares(axis: Axes, shares: list[float], largest: float, *, heading: str, colour: str) -> None:
    """Plot a horizontal bar per block in percent, on an axis that ends beyond `largest` percent."""
    axis.barh(range(len(shares)), [100 * share for share in shares], height=0.55, color=colour)
    for row, share in enumerate(shares):
        axis.text(100 * share + 0.02 * largest, row, f"{share:.1%}", va="center", fontsize=7, color="#555555")
    axis.set_xlim(0, 1.25 * largest)
    axis.set_title(heading, loc="left", fontsize=8)
    axis.set_xticks([])
    axis.tick_params(axis="y", length=0)
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)
