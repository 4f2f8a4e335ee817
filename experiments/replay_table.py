"""Tables of trained networks for replays: accuracies, a cost, decisions and features, read from any CSV of that form.

Columns: `accuracy`, or `accuracy_0`, `accuracy_1`, ... of several trainings; `cost`; decisions `d0`, `d1`, ... as whole
numbers (any, with gaps); features `f_NAME`. Others are ignored. A row without an accuracy or a positive cost is left
out; a feature may be missing in some rows.
"""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
WIDTH = 0.03  # of a band of cost: its upper end over its lower end, less 1


@dataclass(frozen=True)
class Table:
    """N trained networks; `accuracies` [N, K] over K trainings, NaN where one is missing, but never all of a row."""

    accuracies: Floats
    cost: Floats  # [N]
    decisions: NDArray[np.int64]  # [N, D] option numbers
    feature_names: tuple[str, ...]
    features: Floats  # [N, F]
    notes: tuple[str, ...] = ()  # what was left out

    @cached_property
    def accuracy(self) -> Floats:
        """The mean over the trainings [N]: what replays take for the truth."""
        return np.asarray(np.nanmean(self.accuracies, 1))

    @cached_property
    def summary(self) -> tuple[tuple[str, ...], Floats]:
        """What can be said of decisions without knowing what they mean: names, and values [N, S].

        Their sum, as options are mostly listed by size, and for every option number how many decisions take it.
        """
        if self.decisions.shape[1] < 2:
            return (), np.zeros((len(self.cost), 0))
        levels = np.unique(self.decisions)
        levels = levels[1:] if len(levels) <= MAX_LEVELS else levels[:0]
        counts = [(self.decisions == level).sum(1) for level in levels]
        names = ("sum of decisions", *(f"decisions at {level}" for level in levels))
        return names, np.stack([self.decisions.sum(1), *counts], 1).astype(np.float64)

    @cached_property
    def one_hot(self) -> Floats:
        """One column per option of every decision [N, O]."""
        hot = [column[:, None] == np.unique(column) for column in self.decisions.T]
        return np.concatenate([np.zeros((len(self.cost), 0)), *hot], 1)

    @cached_property
    def described(self) -> Floats:
        """What a model sees of every row [N, F]: the features of the table, else what its decisions say."""
        if self.features.shape[1]:
            return self.features
        return np.concatenate([self.summary[1], self.one_hot], 1)

    def bands(self, width: float) -> list[Rows]:
        """Return the rows of bands of cost, each from its cheapest row to `width` above, the cheapest band first."""
        found: list[Rows] = []
        order = np.argsort(self.cost, kind="stable")
        at = 0
        while at < len(order):
            end = int(np.searchsorted(self.cost[order], self.cost[order[at]] * (1 + width), side="right"))
            found.append(order[at:end])
            at = end
        return found


MAX_LEVELS = 12  # option numbers that are counted


def read_table(path: str) -> Table:
    """Return the table in a CSV file; `InvalidInput` with one line where there is none."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read the table {path}: {error}; give a CSV file") from error
    lines = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    names = [name.strip() for name in lines[0]] if lines else []
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"{path}: the column '{twice}' appears twice; name every column once")
    accuracy = [n for n in names if re.fullmatch(r"accuracy(_\d+)?", n)]
    decisions = sorted((n for n in names if re.fullmatch(r"d\d+", n)), key=lambda n: int(n[1:]))
    features = [n for n in names if n.startswith("f_") and len(n) > 2]
    if not accuracy or "cost" not in names:
        missing = "cost" if accuracy else "accuracy (or accuracy_0, accuracy_1, ...)"
        raise InvalidInput(f"{path} has no column {missing}; its columns are {', '.join(names)[:120] or 'none'}")
    if not decisions and not features:
        raise InvalidInput(f"{path} has neither decisions (d0, d1, ...) nor features (f_NAME); add one of them")
    rows = _Rows(path, names, lines[1:])
    return _table(rows.numbers(accuracy), rows.numbers(["cost"])[:, 0], rows.numbers(decisions), rows, features)


@dataclass(frozen=True)
class _Rows:
    """The cells of a CSV file."""

    path: str
    names: Sequence[str]
    cells: Sequence[Sequence[str]]

    def numbers(self, columns: Sequence[str]) -> Floats:
        """Return the columns as numbers [N, C], NaN where a cell is empty or says so."""
        index = [self.names.index(column) for column in columns]
        found = np.full((len(self.cells), len(index)), np.nan)
        for i, row in enumerate(self.cells):
            for j, at in enumerate(index):
                found[i, j] = self._number(row[at] if at < len(row) else "", i, columns[j])
        return found

    def _number(self, cell: str, row: int, column: str) -> float:
        text = cell.strip()
        if text.lower() in ("", "nan", "na", "null", "none"):
            return math.nan
        try:
            return float(text)
        except ValueError:
            raise InvalidInput(
                f"{self.path}, row {row + 2}, column {column}: '{text[:40]}' is no number; leave it empty where unknown"
            ) from None


def _table(accuracies: Floats, cost: Floats, decisions: Floats, rows: _Rows, names: Sequence[str]) -> Table:
    """Return the table of the rows that are complete."""
    accuracies = np.where(np.isfinite(accuracies), accuracies, np.nan)
    whole = np.isfinite(accuracies).any(1) & np.isfinite(cost) & (cost > 0) & np.isfinite(decisions).all(1)
    broken = np.argwhere(whole[:, None] & (np.nan_to_num(decisions) % 1 != 0))
    if len(broken):
        raise InvalidInput(
            f"{rows.path}, row {broken[0][0] + 2}: a decision must be a whole number, "
            f"got {decisions[tuple(broken[0])]:g} in d{broken[0][1]}"
        )
    if whole.sum() < 2:
        raise InvalidInput(
            f"{rows.path} has {int(whole.sum())} rows with an accuracy, a positive cost and all decisions; "
            "a replay needs at least 10"
        )
    left_out = f"{int((~whole).sum())} rows without an accuracy, a positive cost or a decision are left out"
    features = rows.numbers(names)[whole]
    features = np.where(np.isfinite(features), features, np.nan)
    return Table(
        accuracies[whole],
        cost[whole],
        decisions[whole].astype(np.int64),
        tuple(name.removeprefix("f_") for name in names),
        features,
        () if whole.all() else (left_out,),
    )
