"""The image of one network for a paper: a row per block, its kernels as trapezoids, MACs and time side by side."""

from typing import TYPE_CHECKING, Any, Literal

from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.ops import KINDS, Kind
from nas.report.network_summary import BlockShare, block_shares, facts, heading
from nas.report.plot_style import saved

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: dict[Kind, str] = {
    "conv": "#56b4e9", "pointwise": "#2b6cb0", "depthwise": "#009e73", "dense": "#8a8f94", "matmul": "#cc79a7",
    "pool": "#c9a227", "elementwise": "#b9bec2",
}  # fmt: skip
MACS, TIME = "#0072b2", "#c24f00"
ROW = 0.3  # inches
WIDTH = 10.0
SMALL = 0.35  # width of a kernel without weights, relative to others


def network_plot(arch: ArchSpec, model: Roofline, form: Literal["png", "svg"] = "png") -> bytes:
    """Return the image as PNG or SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    found = block_shares(arch, model)
    lines = facts(arch, model)
    plain: dict[Any, Any] = {"text.parse_math": False, "font.size": 8}
    with mpl.rc_context(plain):
        height = ROW * len(found) + 1.2 + 0.18 * len(lines)
        figure = Figure(figsize=(WIDTH, height), dpi=150)
        shapes, macs, time = figure.subplots(
            1, 3, sharey=True, gridspec_kw={"width_ratios": [3.3, 1, 1], "wspace": 0.05}
        )
        top, bottom = 1 - (0.6 + 0.18 * len(lines)) / height, 0.45 / height
        figure.subplots_adjust(left=0.09, right=0.98, top=top, bottom=bottom)
        figure.text(0.02, 1 - 0.22 / height, heading(arch, model), fontsize=10, fontweight="bold")
        figure.text(0.02, 1 - 0.3 / height, "\n".join(lines), va="top", color="#555555")
        _shapes(shapes, found)
        most = 100 * max(max(part.macs_share, part.time_share) for part in found)
        _bars(macs, [part.macs_share for part in found], most=most, title="% of MACs", colour=MACS)
        _bars(time, [part.time_share for part in found], most=most, title="% of time in kernels", colour=TIME)
        return saved(figure, form)


def _shapes(axis: "Axes", found: list[BlockShare]) -> None:
    """Draw each block's kernels as trapezoids, as high as the root of their channels, with its words beside them."""
    from matplotlib.patches import Patch

    widest = max(k.out_shape.channels for part in found for k in part.kernels if k.kind not in ("dense", "pool"))
    for row, part in enumerate(found):
        weights = [SMALL if kernel.kind in ("pool", "elementwise") else 1.0 for kernel in part.kernels]
        left, unit = 0.0, 1 / sum(weights)
        for kernel, weight in zip(part.kernels, weights, strict=True):
            right = left + weight * unit
            sides = [0.4 * min(1, s.channels / widest) ** 0.5 for s in (kernel.in_shape, kernel.out_shape)]
            corners = [(left, row - sides[0]), (right, row - sides[1]), (right, row + sides[1]), (left, row + sides[0])]
            axis.fill(*zip(*corners, strict=True), color=COLOURS[kernel.kind], edgecolor="white", linewidth=0.8)
            if kernel.kernel_size > 1:
                axis.text((left + right) / 2, row, str(kernel.kernel_size), ha="center", va="center", fontsize=6.5)
            left = right
        if part.block.residual:
            axis.plot([-0.02, -0.02, 1.02, 1.02], [row, row - 0.43, row - 0.43, row], color="#777777", linewidth=0.6)
        axis.text(1.06, row, part.block.words, va="center")
    stages = [part.block.stage for part in found]
    axis.set_yticks(range(len(found)), [s if s not in stages[:i] else "" for i, s in enumerate(stages)])
    axis.set_ylim(len(found) - 0.5, -0.5)
    axis.set_xlim(-0.05, 3.0)
    axis.set_xticks([])
    axis.tick_params(axis="y", length=0)
    for side in axis.spines.values():
        side.set_visible(False)
    used = {kernel.kind for part in found for kernel in part.kernels}
    handles = [Patch(color=COLOURS[kind], label=kind) for kind in KINDS if kind in used]
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 0), ncols=7, frameon=False, fontsize=7,
                handlelength=0.8, columnspacing=1, borderaxespad=0.8)  # fmt: skip


def _bars(axis: "Axes", shares: list[float], *, most: float, title: str, colour: str) -> None:
    axis.barh(range(len(shares)), [100 * share for share in shares], height=0.55, color=colour)
    for row, share in enumerate(shares):
        axis.text(100 * share + 0.02 * most, row, f"{share:.1%}", va="center", fontsize=7, color="#555555")
    axis.set_xlim(0, 1.25 * most)
    axis.set_title(title, loc="left", fontsize=8)
    axis.set_xticks([])
    axis.tick_params(axis="y", length=0)
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)
