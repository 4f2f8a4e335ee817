"""A comparison as rich tables: networks against targets, the regret between runs, and the hypervolume of each item."""

from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from nas.compare.compare import Comparison, records
from nas.records.results import display_text

COLUMNS = 6  # targets side by side


def tables(comparison: Comparison) -> list[Table]:
    """Return the comparison as rich tables: networks, then regret and hypervolumes where there are any."""
    chunks = [comparison.targets[i : i + COLUMNS] for i in range(0, len(comparison.targets), COLUMNS)]
    found = [_networks(comparison, chunk, last=chunk is chunks[-1]) for chunk in chunks]
    found += [_regret(comparison, str(kind)) for kind in comparison.regrets["accuracy_kind"].unique()]
    volumes = comparison.hypervolumes
    if fronts := list(volumes[(volumes["item"] != "all") & (volumes["points"] > 1)]["item"].unique()):
        found.append(_hypervolumes(comparison, fronts))
    return found


def _networks(comparison: Comparison, targets: tuple[str, ...], last: bool) -> Table:
    """Return a row per network: accuracy, latency on each of `targets`, with * where on the front, and costs."""
    letters = {kind: chr(ord("A") + i) for i, kind in enumerate(comparison.kinds)}
    table = _empty_table(
        "predicted latency in ms; * on the front of its target among equal kinds of accuracy", ["network"]
    )
    energy = "energy_mj" in comparison.rows
    titles = [f"{target}{', mJ' if energy else ''}" for target in targets]
    for title in ("top-1 %", "kind", *titles, "on the front of", "MACs", "parameters"):
        table.add_column(title, justify="right", overflow="fold")
    counted = {row["name"]: row for row in records(comparison.optimal)}
    cells = {(row["name"], row["target"]): row for row in records(comparison.rows)}
    for name in _shown(comparison.rows):
        row = cells[name, targets[0]]
        kind = letters.get(row["accuracy_kind"], "-")
        top1 = "-" if kind == "-" else f"{100 * row['top1']:.1f} ± {100 * row['standard_error']:.1f}"
        times = [_cell(cells[name, target]) for target in targets]
        fronts = f"{counted[name]['targets_on_front']} of {counted[name]['targets']}" if name in counted else "-"
        counts = f"{row['macs']:,}", f"{row['params']:,}"
        table.add_row(Text(name), top1, kind, *times, fronts, *counts)
    if last:
        table.caption = Text("\n".join(f"{letter} = {display_text(kind)}" for kind, letter in letters.items()))
    return table


def _shown(rows: pd.DataFrame) -> list[str]:
    """Return the names to show: chosen networks and those on some front; references rebuilt for others come last."""
    on_some = set(rows[rows["on_front"]]["name"])
    first = rows[(rows["target"] == rows["target"].iloc[0]) & (rows["chosen"] | rows["name"].isin(on_some))]
    order = first.assign(rebuilt=(first["source"] == "reference") & (first["accuracy_kind"] == ""))
    return [str(name) for name in order.sort_values(["rebuilt", "latency_ms"], kind="stable")["name"]]


def _cell(row: dict[str, Any]) -> str:
    energy = f", {row['energy_mj']:.3g}" if "energy_mj" in row else ""
    return f"{row['latency_ms']:.3f}{'*' if row['on_front'] else ' '}{energy}"


def _regret(comparison: Comparison, kind: str) -> Table:
    """Return the matrix of regret: what was found for the row's target, used on the column's."""
    rows = comparison.regrets[comparison.regrets["accuracy_kind"] == kind]
    table = _empty_table("extra latency on the column's target of what was found for the row's", ["found for"])
    runs = dict.fromkeys(zip(rows["best_item"], rows["used_on"], strict=True))
    for item, target in runs:
        table.add_column(Text(f"{target}\n{item}"), justify="right", overflow="fold")
    extra = {(row["item"], row["best_item"]): row["extra"] for row in records(rows)}
    for item, target in dict.fromkeys(zip(rows["item"], rows["found_for"], strict=True)):
        table.add_row(Text(f"{target}\n{item}"), *(percent(extra[item, best]) for best, _ in runs))
    table.caption = Text(
        f"at equal or better accuracy ({display_text(kind)}); blank where nothing found for the row reaches it"
    )
    return table


def percent(extra: float) -> str:
    """Return a fraction as signed percent, nothing for NaN."""
    return "" if extra != extra else "0 %" if round(extra, 4) == 0 else f"{100 * extra:+.1f} %"


def _hypervolumes(comparison: Comparison, items: list[str]) -> Table:
    """Return the share of each item in the hypervolume that all networks of its kind reach together."""
    volumes = comparison.hypervolumes
    table = _empty_table("hypervolume as % of that of all networks of the kind", ["target"])
    for item in items:
        table.add_column(Text(item), justify="right", overflow="fold")
    together = volumes[volumes["item"] == "all"].set_index(["target", "accuracy_kind"])["hypervolume"].to_dict()
    own = {(row["item"], row["target"]): row for row in records(volumes[volumes["item"].isin(items)])}
    for target in comparison.targets:
        rows = [own[item, target] for item in items]
        shares = [row["hypervolume"] / together[target, row["accuracy_kind"]] for row in rows]
        table.add_row(target, *(f"{100 * share:.1f}" for share in shares))
    return table


def _empty_table(title: str, left: list[str]) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    for name in left:
        table.add_column(name, overflow="fold")
    return table
