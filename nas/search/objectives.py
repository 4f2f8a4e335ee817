"""Costs that a search makes small beside the error: latency, memory, flash, energy, MACs, parameters, or a forest's.

Each is a column for genotypes: by a cost table where the cost is a sum or a maximum over kernels, by prediction where
a forest says it (Speckhard et al. 2022, arXiv 2202.05397). An algorithm of several objectives (NSGA-II) gets error and
costs as they stand. The joint search does not: it lands on one latency and makes accuracy large there, keeps bounds on
the other costs, and front.csv says which of its architectures no other beats in accuracy, latency and these costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latency_models.energy import Energy
from latency_models.forest import SUFFIX, Forest, load_forest
from latency_models.forest_table import ForestTable
from latency_models.roofline import Roofline
from nas.errors import InvalidInput, unknown_name
from nas.protocols import Cost, Genotypes, SearchSpace
from nas.space.cost_table import MACS, PARAMS, PEAK_ACTIVATION, WEIGHTS, CostTable, compile_table

KB = 1024  # bytes
NAMES = ("latency", "memory", "flash", "energy", "macs", "params")


@dataclass(frozen=True, eq=False)
class Column:
    """A cost of deployed networks over one space, in the unit that people read."""

    name: str  # of an objective, or of the file of a forest
    heading: str  # with the unit: memory_kb
    cost: CostTable | ForestTable

    def score(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the cost of genotypes [N, D] as [N]."""
        return np.asarray(self.cost.score(genotypes), np.float64)


def objectives(accuracies: NDArray[np.float64], genotypes: Genotypes, costs: Sequence[Column]) -> NDArray[np.float64]:
    """Return [N, 1 + number of costs] to minimise: error (1 - accuracy [N]), then each cost of genotypes [N, D]."""
    return np.column_stack([1 - np.asarray(accuracies), *(cost.score(genotypes) for cost in costs)])


def columns(space: SearchSpace, names: Sequence[str], model: Roofline, energy: Energy | None = None) -> list[Column]:
    """Return the costs called `names` over `space`: some of `NAMES`, and files of forests (*.forest.json).

    Latency and bytes are those of `model` and of its batch. Raises `UnknownName`, and `InvalidInput` where energy is
    asked for and `energy` is None, or a file holds no forest.
    """
    return [
        _forest_column(space, name) if name.endswith(SUFFIX) else _table(space, name, model, energy) for name in names
    ]


def check_names(names: Sequence[str], energy: bool) -> None:
    """Raise for a name that is no objective, or for energy where nothing is known of it."""
    for name in names:
        if not name.endswith(SUFFIX) and name not in NAMES:
            raise unknown_name("objective", name, NAMES)
    if "energy" in names and not energy:
        raise InvalidInput(
            "energy cannot be an objective: the target has no energy figures; calibrate one with energy_mj"
        )


def known_costs(energy: Energy | None) -> tuple[str, ...]:
    """Return the costs that stand beside latency, MACs and parameters in front.csv: energy where it is calibrated."""
    return ("memory", "flash", "energy") if energy else ("memory", "flash")


def unit_of(name: str, model: Roofline) -> tuple[str, float]:
    """Return the heading of a cost, and how much of what its table counts is one unit of it."""
    elements = KB / (model.bytes_per_activation * model.batch)
    return {
        "latency": ("latency_ms" if model.unit == "ms" else "latency_ratio", 1.0),
        "memory": ("memory_kb", elements),
        "flash": ("flash_kb", KB / model.bytes_per_weight),
        "energy": ("energy_mj", 1.0),
        "macs": ("macs", 1.0),
        "params": ("params", 1.0),
    }[name]


def _table(space: SearchSpace, name: str, model: Roofline, energy: Energy | None) -> Column:
    check_names([name], energy is not None)
    costs: dict[str, Cost | None] = {
        "latency": model, "memory": PEAK_ACTIVATION, "flash": WEIGHTS, "energy": energy, "macs": MACS, "params": PARAMS,
    }  # fmt: skip
    cost = costs[name]
    assert cost is not None
    heading, unit = unit_of(name, model)
    return Column(name, heading, compile_table(space, cost).in_units(heading, unit))


def _forest_column(space: SearchSpace, path: str) -> Column:
    forest = load_forest(Path(path))
    return Column(path, heading_of(path, forest), ForestTable.of(space, forest, forest_name(path)))


def forest_name(path: str) -> str:
    """Return what people call the forest in a file."""
    return Path(path).name.removesuffix(SUFFIX)


def heading_of(path: str, forest: Forest) -> str:
    """Return the heading of a forest's column: its name, what it predicts and the unit."""
    return f"{forest_name(path)}_{forest.of}_{forest.unit.lower()}"
