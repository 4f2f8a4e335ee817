"""The table of a whole front: its latency budgets and the network that answers each, or its networks by their costs."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from latency_models.forest import SUFFIX
from nas.cli.console import aligned_table, latency_text
from nas.cli.models import images_in_latency
from nas.records.front import AT, Front, FrontPoint
from nas.records.results import metric_of, share_text, title_of
from nas.records.tables import rows_of
from nas.report.energy import energy_of_target
from nas.report.known_error import error_of_target
from nas.report.terminal_table import FittedTable, short_number, unit_text
from nas.search.objectives import forest_name

NUMBERS = ("latency budget", "latency", "proxy top-1 %", "without luck", "MACs", "parameters")
SHOWN = 12  # networks of a front of costs on the screen; front.csv has all
TOP1_TITLE = "top-1"
DROP = {"parameters": 3, "MACs": 2, "without luck": 1}


def front_table(front: Front, target: str) -> FittedTable:
    """Return a whole front as a table, a row per latency budget; the network that RUN stands for is marked."""
    title = title_of(front.accuracy_kind)
    numbers = [name.replace("top-1 %", title) if title != TOP1_TITLE else name for name in NUMBERS]
    table = aligned_table(f"front on {target}", ("network",), numbers, DROP)
    unit = unit_text(front.latency_unit, images_in_latency(target))
    for number, point in enumerate(front.points):
        budget = latency_text(point.latency_budget, unit)
        if number and front.points[number - 1].digest == point.digest:
            table.add_row("as above", budget)
        else:
            mark = "*" if point.digest == front.chosen else ""
            table.add_row(point.digest[:8] + mark, budget, *_cells(point, unit, metric_of(front.accuracy_kind)))
    table.caption = "\n".join([*_remarks(front), *_error_remarks(target)])
    return table


def _cells(point: FrontPoint, unit: str, metric: str) -> tuple[str, ...]:
    shown, error, expected = (
        share_text(value, metric).rstrip("%") for value in (point.top1, point.standard_error, point.top1 - point.luck)
    )
    top1 = f"{shown} +- {error}"
    return latency_text(point.latency, unit), top1, expected, short_number(point.macs), short_number(point.params)


def _remarks(front: Front) -> list[str]:
    """Return what a reader must know of the table, a line each."""
    least, most, unit = front.points[0].latency, front.points[-1].latency, front.latency_unit
    lines = [
        f"{least:.4g} to {most:.4g} {unit}: {front.share_spanned:.0%} of the range of its budgets, in the logarithm",
        f"{title_of(front.accuracy_kind)} with one standard error on {front.images:,} images; without luck: less what "
        "the best of several scores is expected to flatter at most",
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


def cost_front_table(run: Path, minimize: Sequence[str], best: str, target: str) -> FittedTable:
    """Return the front of accuracy and costs of a run as a table, the most accurate first; `best` is marked.

    Of more than `SHOWN` networks those at even places are shown.
    """
    rows = sorted(rows_of(run / "front.csv"), key=lambda row: (-row["top1"], row["latency"], row["digest"]))
    headings = _cost_headings(minimize, rows[0] if rows else ())
    step = (len(rows) - 1) / (SHOWN - 1)
    shown = rows if len(rows) <= SHOWN else [rows[round(step * i)] for i in range(SHOWN)]
    kind = str(rows[0]["accuracy_kind"]) if rows else ""
    score, metric = title_of(kind), metric_of(kind)
    score = "top-1 %" if score == TOP1_TITLE else score
    numbers = (f"proxy {score}", *(heading.replace("_", " ") for heading in headings), "latency", "parameters")
    table = aligned_table(f"front on {target}", ("network",), numbers, {"parameters": 2, "latency": 1})
    for row in shown:
        mark = "*" if row["digest"] == best else ""
        score_and_error = (share_text(row[name], metric).rstrip("%") for name in ("top1", "standard_error"))
        top1 = " +- ".join(score_and_error)
        costs = [f"{float(row[heading]):.4g}" for heading in headings]
        latency = latency_text(row["latency"], unit_text(row["latency_unit"], images_in_latency(target)))
        table.add_row(row["digest"][:8] + mark, top1, *costs, latency, short_number(row["params"]))
    energy = energy_of_target(target)
    lines = [
        f"{len(shown)} of {len(rows)} networks that no other evaluated one beats in accuracy, {' and '.join(minimize)}",
        "all of them are in front.csv, their specs in specs/",
        "*: the most accurate, which the run stands for",
        *([f"energies on {target}: {energy.error.explained}"] if energy and "energy" in minimize else []),
    ]
    table.caption = "\n".join(lines)
    return table


def _cost_headings(minimize: Sequence[str], columns: Collection[str]) -> list[str]:
    """Return those `columns` of front.csv that the costs have of their own, those of forests too."""
    known = {"memory": "memory_kb", "flash": "flash_kb", "energy": "energy_mj", "macs": "macs"}
    known |= {
        name: heading
        for name in minimize if name.endswith(SUFFIX)
        for heading in columns if re.fullmatch(rf"{re.escape(forest_name(name))}_(latency_ms|energy_mj)", heading)
    }  # fmt: skip
    return [known[name] for name in minimize if name in known]
