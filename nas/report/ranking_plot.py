"""The picture of `nas rank`: Kendall's tau of each predictor with its interval, beside what noise lets anyone reach."""

from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from nas.report.plot_style import COLOURS, GREY, figure_bytes
from nas.search.accuracy.ranking import ACCURACY_MODEL, EARLY, RankingEvidence

WIDTH, ROW_HEIGHT, FRAME_HEIGHT = 7.2, 0.34, 1.5  # inches
TRAINED = (ACCURACY_MODEL, EARLY)  # predictors that take trainings of these networks
CEILING_COLOUR = "#e9e2cf"


def ranking_plot(evidence: RankingEvidence, form: Literal["png", "svg"] = "png") -> bytes:
    """Return the picture as the bytes of a PNG or SVG file: a row per predictor, a band for the noise ceiling."""
    rows = dict(evidence.predictors)
    if evidence.between_seeds is not None:
        rows["one seed, by another"] = evidence.between_seeds
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(WIDTH, FRAME_HEIGHT + ROW_HEIGHT * len(rows)), dpi=130, layout="constrained")
        axis = figure.subplots()
        _plot_ceiling(axis, evidence)
        axis.axvline(0, color=GREY, linewidth=0.8)
        for height, (name, tau) in enumerate(rows.items()):
            colour = COLOURS[0] if name in TRAINED else COLOURS[1] if name == "supernet" else "black"
            axis.plot([tau.low, tau.high], [height, height], color=colour, linewidth=1.6, solid_capstyle="butt")
            axis.plot(tau.value, height, marker="o", color=colour, markersize=5.5)
            axis.annotate(f"{tau.value:+.2f}", (tau.value, height), xytext=(0, 5), textcoords="offset points",
                          ha="center", fontsize=7.5, color=colour)  # fmt: skip
        axis.set_yticks(range(len(rows)), list(rows))
        axis.set_ylim(len(rows) - 0.4, -0.8)
        axis.tick_params(axis="y", length=0)
        axis.set_xlim(*_limits(evidence))
        axis.set_xlabel("Kendall's tau with the mean accuracy, 95 % interval")
        figure.suptitle(_title(evidence), x=0.01, ha="left", fontsize=9.5)
        return figure_bytes(figure, form)


def _plot_ceiling(axis: Any, evidence: RankingEvidence) -> None:
    """Plot what a perfect predictor would show: its mean, and the range of 90 of 100."""
    ceiling = evidence.ceiling
    if not np.isfinite(ceiling.expected):
        return
    axis.axvspan(ceiling.low, ceiling.high, color=CEILING_COLOUR, linewidth=0, zorder=0)
    axis.axvline(ceiling.expected, color="#8a7a45", linewidth=1.1, linestyle=(0, (4, 2.5)))
    axis.annotate("perfect predictor", (ceiling.expected, 1), xycoords=axis.get_xaxis_transform(), fontsize=7.5,
                  color="#6d6036", xytext=(0, -1), textcoords="offset points", ha="center", va="bottom")  # fmt: skip


def _limits(evidence: RankingEvidence) -> tuple[float, float]:
    """Return the limits of the axis, which hold all intervals."""
    return min(-0.2, *(tau.low for tau in evidence.predictors.values())) - 0.05, 1.02


def _title(evidence: RankingEvidence) -> str:
    return (
        f"{evidence.networks} networks of equal latency, {evidence.seeds} training seed"
        f"{'s' if evidence.seeds > 1 else ''} each: what ranks them"
    )
