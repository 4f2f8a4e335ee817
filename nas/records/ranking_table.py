"""Tables of networks trained alone, to judge what ranks them: rank.csv of `nas rank`, and the committed truth tables.

A row is a network. Columns: digest; cost (its latency, in the unit that is stated beside the table); accuracy_0,
accuracy_1, ... (a fraction, one per training seed, empty where there is none); f_NAME (features that are known before
any training); d0, d1, ... (its genotype); val_SEED_EPOCH (accuracy on validation images after an epoch, in float32 also
where accuracy_SEED is that in int8).
experiments/ranking_replay.py reads such tables.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes

Column = NDArray[np.float64]


@dataclass(frozen=True)
class RankingTable:
    """Networks [N] with their costs, accuracies and features; NaN where an accuracy is not known."""

    digests: tuple[str, ...]
    genotypes: Genotypes  # [N, D]
    cost: Column  # [N]
    accuracy: NDArray[np.float64]  # [N, seeds], fractions
    features: Mapping[str, Column] = field(default_factory=dict)  # [N] each
    curves: NDArray[np.float64] | None = None  # [N, seeds, epochs], fractions of the validation images

    def columns(self) -> dict[str, Sequence[object]]:
        """Return the columns of the CSV by name, in their order."""
        found: dict[str, Sequence[object]] = {"digest": self.digests, "cost": _numbers(self.cost)}
        found |= {f"accuracy_{seed}": _numbers(column) for seed, column in enumerate(self.accuracy.T)}
        found |= {f"f_{name}": _numbers(column) for name, column in self.features.items()}
        found |= {f"d{i}": [int(option) for option in column] for i, column in enumerate(self.genotypes.T)}
        if self.curves is not None:
            _, seeds, epochs = self.curves.shape
            for seed in range(seeds):
                for epoch in range(epochs):
                    found[f"val_{seed}_{epoch + 1}"] = _numbers(self.curves[:, seed, epoch])
        return found

    def to_csv(self) -> str:
        """Return the table as CSV, numbers with all digits: equal tables have equal bytes."""
        columns, text = self.columns(), io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([list(columns), *zip(*columns.values(), strict=True)])
        return text.getvalue()


def _numbers(values: Column) -> list[str]:
    """Return numbers as text that reads back as the same, whole ones without a point; NaN as an empty text."""
    return ["" if np.isnan(value) else repr(_plain(float(value))) for value in values]


def _plain(value: float) -> int | float:
    """Return a whole number as an integer."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
