"""The pictures of a report as inline SVG: progress, the controller's choices, the front. Plain data in, text out."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nas.results import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8a8a8a"  # Okabe and Ito, safe for the colour-blind
STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # a dollar in a name is no formula
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
}
WIDTH = 7.2  # inches
ACROSS = 4  # decisions side by side

Record = Mapping[str, Any]


def progress(stages: Mapping[str, tuple[Record, Sequence[Record]]]) -> str:
    """Return loss, top-1, latency and entropy over the SGD steps of all stages: stage -> (its start, its chunks)."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(2, 2, sharex=True)
        titles = ("loss (nats)", "top-1 accuracy (%)", "latency", "policy entropy (% of uniform)")
        for axis, title in zip(axes.flat, titles, strict=True):
            axis.set_title(title)
            axis.grid(True, color="#ececec", linewidth=0.6)
        offset = 0
        for name, (start, chunks) in stages.items():
            end = offset + max([int(chunk["step"]) for chunk in chunks], default=0)
            for axis in axes.flat:
                axis.axvline(offset, color="#c8c8c8", linewidth=0.8, zorder=0)
            axes[1, 1].annotate(f" {name}", (offset, 0.02), xycoords=("data", "axes fraction"), color="#555555")
            _stage_lines(axes, start, chunks, offset, end, first=offset == 0)
            offset = end
        unit = next(iter(stages.values()))[0].get("latency_unit", "ms")
        axes[1, 0].set_title(f"latency ({unit})")
        axes[0, 1].legend(loc="best", frameon=False, fontsize=8)
        axes[1, 0].legend(loc="best", frameon=False, fontsize=8)
        axes[0, 0].set_ylim(bottom=0)
        axes[0, 1].set_ylim(bottom=0)
        axes[1, 1].set_ylim(0, 103)
        for axis in axes[1]:
            axis.set_xlabel("steps of the search")

    return _drawn("progress", 5.0, draw)


def _stage_lines(axes: Any, start: Record, chunks: Sequence[Record], offset: int, end: int, first: bool) -> None:
    steps = [offset + int(chunk["step"]) for chunk in chunks]

    def line(axis: Any, key: str, factor: float = 1, colour: str = BLUE, label: str = "", **style: Any) -> None:
        marker = "." if len(steps) < 3 else None
        known = [chunk.get(key) for chunk in chunks]  # None before there is one
        values = [float("nan") if value is None else factor * float(value) for value in known]
        axis.plot(steps, values, color=colour, label=label if first else None, marker=marker, linewidth=1.4, **style)

    line(axes[0, 0], "loss")
    line(axes[0, 1], "train_top1", 100, GREY, "training batches", linestyle=":")
    line(axes[0, 1], "argmax_reward_top1", 100, BLUE, "best guess, held out")
    line(axes[1, 0], "sampled_latency", 1, GREY, "samples, running mean", linestyle=":")
    line(axes[1, 0], "argmax_latency", 1, BLUE, "best guess")
    line(axes[1, 1], "entropy", 100)
    if "target_latency" in start and end > offset:
        axes[1, 0].hlines(start["target_latency"], offset, end, color=ORANGE, linewidth=1.2, linestyle="--",
                          label="wanted" if first else None)  # fmt: skip


def choices(stage: str, decisions: Sequence[Record], chunks: Sequence[Record]) -> str:
    """Return one small panel per decision: the probability of each option over time as stacked areas."""
    import matplotlib as mpl
    import numpy as np

    rows = -(-len(decisions) // ACROSS)
    steps = [int(chunk["step"]) for chunk in chunks]

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(rows, ACROSS, sharex=True, sharey=True, squeeze=False)
        for axis in axes.flat[len(decisions) :]:
            axis.set_visible(False)
        for i, (axis, decision) in enumerate(zip(axes.flat[: len(decisions)], decisions, strict=True)):
            odds = np.array([chunk["policy"][i] for chunk in chunks]).T  # [options, time]
            shades = mpl.colormaps["cividis"](np.linspace(0.05, 1, len(odds)))
            if len(steps) == 1:
                axis.bar(np.repeat(steps, len(odds)), odds[:, 0], bottom=odds[:, 0].cumsum() - odds[:, 0], color=shades)
            else:
                axis.stackplot(steps, odds, colors=shades, linewidth=0.2, edgecolor="white")
                axis.set_xlim(steps[0], steps[-1])
            last = odds[:, -1]
            best = int(last.argmax())
            axis.set_title(decision["name"], fontsize=7.5, pad=11)
            axis.text(0, 1.03, f"{_option(decision['options'][best])}: {last[best]:.0%}", transform=axis.transAxes,
                      fontsize=7.5, color="#333333")  # fmt: skip
            axis.set_ylim(0, 1)
            axis.set_yticks([0, 1], ["0", "100 %"], fontsize=7)
            axis.tick_params(axis="x", labelsize=7, labelbottom=i + ACROSS >= len(decisions))
            axis.locator_params(axis="x", nbins=3)
        figure.supxlabel("steps of the stage", fontsize=8)

    return _drawn(f"choices-{stage}", 0.55 + 1.05 * rows, draw)


def front(evaluated: "pd.DataFrame", found: Result) -> str:
    """Return all evaluated networks, those that none beats, the found one, and the wanted latency."""
    points = evaluated.sort_values("latency")
    best = points[points["on_front"]]

    def draw(figure: "Figure") -> None:
        axis = figure.subplots()
        axis.grid(True, color="#ececec", linewidth=0.6)
        axis.scatter(points["latency"], 100 * points["top1"], s=9, color=GREY, alpha=0.5, linewidths=0,
                     label=f"{len(points):,} evaluated")  # fmt: skip
        axis.plot(best["latency"], 100 * best["top1"], color=BLUE, marker="o", markersize=3.5, linewidth=1.3,
                  drawstyle="steps-post", label=f"front, {len(best):,} networks")  # fmt: skip
        axis.axvline(found.wanted_latency, color=ORANGE, linewidth=1.2, linestyle="--", label="wanted latency")
        axis.errorbar(found.latency, 100 * found.accuracy.top1, yerr=100 * found.accuracy.standard_error, color=GREEN,
                      marker="D", markersize=7, markeredgecolor="white", capsize=3, linestyle="none",
                      label="found, ± 1 standard error")  # fmt: skip
        axis.set_xlabel(f"predicted latency on {found.target} ({found.latency_unit})")
        axis.set_ylabel("top-1 accuracy of the proxy (%)")
        axis.legend(loc="lower right", framealpha=0.9, edgecolor="none", fontsize=8.5)

    return _drawn("front", 3.8, draw)


def _drawn(name: str, height: float, draw: Callable[["Figure"], None]) -> str:
    """Return what `draw` puts on a figure of `height` inches as SVG: the same bytes for the same picture."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure)
        return _svg(figure, name)


def _svg(figure: "Figure", name: str) -> str:
    """Return the figure as an <svg> element whose ids are its own, so that several fit into one page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)


def _option(option: object) -> str:
    """Return an option in few letters: a pair of kernels as "3+5", an absent one as "none"."""
    if isinstance(option, list):
        return "+".join(str(part) if part else "none" for part in option)
    return str(option)
