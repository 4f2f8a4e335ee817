"""Costs that a search minimises beside the error: latency, memory, flash, energy, MACs, parameters, or a forest's.

Each is a column of values for genotypes: from a cost table where the cost is a sum or a maximum over kernels, by
prediction where it is a forest's (Speckhard et al. 2022, arXiv 2202.05397). A multi-objective algorithm (NSGA-II) gets
the error and these costs as they are. The joint search does not: it maximises accuracy at one latency under bounds on
the other costs, and front.csv says which of its architectures are not dominated in accuracy, latency and these costs.
"""

from collections.abc import Callable, Sequence
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
from nas.registry import COSTS, load
from nas.space.cost_table import MACS, PARAMS, PEAK_ACTIVATION, WEIGHTS, CostTable, compile_table

KB = 1024  # bytes


@dataclass(frozen=True, eq=False)
class Column:
    """A cost of the target networks of one space, in the unit that reports show."""

    name: str  # of an objective, or of the file of a forest
    heading: str  # with the unit: memory_kb
    cost: CostTable | ForestTable

    def score(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the cost of genotypes [N, D] as [N]."""
        return np.asarray(self.cost.score(genotypes), np.float64)


def objectives(accuracies: NDArray[np.float64], genotypes: Genotypes, costs: Sequence[Column]) -> NDArray[np.float64]:
    """Return [N, 1 + number of costs] to minimise: error (1 - accuracy [N]), then each cost of genotypes [N, D]."""
    return np.column_stack([1 - np.asarray(accuracies), *(cost.score(genotypes) for cost in costs)])


@dataclass(frozen=True)
class CostColumn:
    """A registered cost as functions of a device: the cost, its heading with the unit, and how much one unit counts.

    `cost` gives None where it is not known for the device, energy without a calibration say.
    """

    cost: Callable[[Roofline, Energy | None], Cost | None]
    heading: Callable[[Roofline], str]
    unit: Callable[[Roofline], float] = lambda model: 1.0


def _elements_per_kb(kind: str) -> Callable[[Roofline], float]:
    """Return the function from a device to how many elements of weights or activations of one image are one KB."""
    if kind == "weights":
        return lambda model: KB / model.bytes_per_weight
    return lambda model: KB / (model.bytes_per_activation * model.batch)


LATENCY = CostColumn(lambda model, energy: model, lambda model: "latency_ms" if model.unit == "ms" else "latency_ratio")
MEMORY = CostColumn(lambda model, energy: PEAK_ACTIVATION, lambda model: "memory_kb", _elements_per_kb("activations"))
FLASH = CostColumn(lambda model, energy: WEIGHTS, lambda model: "flash_kb", _elements_per_kb("weights"))
ENERGY = CostColumn(lambda model, energy: energy, lambda model: "energy_mj")
MACS_COLUMN = CostColumn(lambda model, energy: MACS, lambda model: "macs")
PARAMS_COLUMN = CostColumn(lambda model, energy: PARAMS, lambda model: "params")


def cost_column(name: str) -> CostColumn:
    """Return the cost of a registered name or of "module:attribute"; a plain `Cost` there keeps its name and unit."""
    found = load("cost", COSTS, name)
    if isinstance(found, CostColumn):
        return found
    cost: Cost = found
    return CostColumn(lambda model, energy: cost, lambda model: cost.name)


def columns(space: SearchSpace, names: Sequence[str], model: Roofline, energy: Energy | None = None) -> list[Column]:
    """Return the costs called `names` over `space`: names in `registry.COSTS`, or files of forests (*.forest.json).

    Latency and bytes are those of `model` and of its batch. Raises `UnknownName`, and `InvalidInput` where energy is
    asked for and `energy` is None, or a file holds no forest.
    """
    return [
        _forest_column(space, name) if name.endswith(SUFFIX) else _table(space, name, model, energy) for name in names
    ]


def check_names(names: Sequence[str], energy: bool) -> None:
    """Raise `UnknownName` for a name that is no objective, `InvalidInput` for energy where it is not calibrated."""
    for name in names:
        if name.endswith(SUFFIX):
            continue
        if name not in COSTS and ":" not in name:
            raise unknown_name("objective", name, COSTS)
        cost_column(name)
    if "energy" in names and not energy:
        raise InvalidInput(
            "energy cannot be an objective: the target has no energy coefficients; calibrate it with a column "
            "energy_mj, or take a target with energies: nas targets says which"
        )


def known_costs(energy: Energy | None) -> tuple[str, ...]:
    """Return the costs that front.csv has beside latency, MACs and parameters: energy only where it is calibrated."""
    return ("memory", "flash", "energy") if energy else ("memory", "flash")


def unit_of(name: str, model: Roofline) -> tuple[str, float]:
    """Return the heading of a cost with its unit, and how much of what its table counts makes one such unit."""
    column = cost_column(name)
    return column.heading(model), column.unit(model)


def _table(space: SearchSpace, name: str, model: Roofline, energy: Energy | None) -> Column:
    """Return the column of a registered cost, from its cost table."""
    check_names([name], energy is not None)
    cost = cost_column(name).cost(model, energy)
    assert cost is not None
    heading, unit = unit_of(name, model)
    return Column(name, heading, compile_table(space, cost).in_units(heading, unit))


def _forest_column(space: SearchSpace, path: str) -> Column:
    """Return the column of the predictions of the forest in a file."""
    forest = load_forest(Path(path))
    return Column(path, heading_of(path, forest), ForestTable.of(space, forest, forest_name(path)))


def forest_name(path: str) -> str:
    """Return the name of a forest: that of its file without the ending."""
    return Path(path).name.removesuffix(SUFFIX)


def heading_of(path: str, forest: Forest) -> str:
    """Return the heading of a forest's column: its name, what it predicts and the unit."""
    return f"{forest_name(path)}_{forest.of}_{forest.unit.lower()}"
