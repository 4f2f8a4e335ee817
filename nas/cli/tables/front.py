"""The table of a whole front: its latency budgets, and the network that answers each."""

from pathlib import Path

from nas.cli.console import aligned_table, latency_text
from nas.cli.models import images_in_latency
from nas.records.front import AT, Front, FrontPoint
from nas.report.known_error import error_of_target
from nas.report.terminal_table import FittedTable, short_number, unit_text

NUMBERS = ("latency budget", "latency", "proxy top-1 %", "without luck", "MACs", "parameters")
DROP = {"parameters": 3, "MACs": 2, "without luck": 1}


def front_table(front: Front, target: str) -> FittedTable:
    """Return a whole front as a table, a row per latency budget; the network that RUN stands for is marked."""
    table = aligned_table(f"front on {target}", ("network",), NUMBERS, DROP)
    unit = unit_text(front.latency_unit, images_in_latency(target))
    for number, point in enumerate(front.points):
        budget = latency_text(point.latency_budget, unit)
        if number and front.points[number - 1].digest == point.digest:
            table.add_row("as above", budget)
        else:
            mark = "*" if point.digest == front.chosen else ""
            table.add_row(point.digest[:8] + mark, budget, *_cells(point, unit))
    table.caption = "\n".join([*_remarks(front), *_error_remarks(target)])
    return table


def _cells(point: FrontPoint, unit: str) -> tuple[str, ...]:
    top1 = f"{100 * point.top1:.2f} +- {100 * point.standard_error:.2f}"
    expected = f"{100 * (point.top1 - point.luck):.2f}"
    return latency_text(point.latency, unit), top1, expected, short_number(point.macs), short_number(point.params)


def _remarks(front: Front) -> list[str]:
    """Return what a reader must know of the table, a line each."""
    least, most, unit = front.points[0].latency, front.points[-1].latency, front.latency_unit
    lines = [
        f"{least:.4g} to {most:.4g} {unit}: {front.share_spanned:.0%} of the range of its budgets, in the logarithm",
        f"top-1 with one standard error on {front.images:,} images; without luck: less what the best of several scores "
        "is expected to flatter at most",
        f"*: what the run stands for where no latency is named, the budget nearest to {front.nearest}",
    ]
    repeated = len(front.networks) < len(front.points)
    return lines + ["as above: no slower network that was evaluated is more accurate"] * repeated


def _error_remarks(target: str) -> list[str]:
    """Return the line on how far latencies on a target can be trusted; none where there is no target of that name."""
    known = error_of_target(target)
    return [] if known is None else [f"latencies on {target}: {known.explained}"]


def point_name(run: Path, front: Front) -> str:
    """Return the name of the slowest network of the front of a run: RUN@LATENCY."""
    last = front.points[-1].latency_budget
    return f"{run}{AT}{last:.4g}{'ms' if front.latency_unit == 'ms' else ''}"
