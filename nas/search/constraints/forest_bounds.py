"""Hard bounds on what a random forest predicts, kept by checked repair, as a forest has no cost table.

While a policy searches, it learns from an additive surrogate, a cost table that follows the forest near the latency
budget. The final architecture is moved until the forest itself says that it keeps the bound
(nas/search/constraints/project.py). What is kept is the prediction: measured values differ from it by the forest's
error, which is reported beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from math import isfinite
from pathlib import Path

import numpy as np

from latency_models.forest import SUFFIX, Forest, load_forest
from latency_models.forest_table import ForestTable, additive
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.files import read_bytes
from nas.protocols import Genotypes, SearchSpace
from nas.search.constraints.bounds import Bounded
from nas.search.constraints.project import prediction_excess, project, upper_bounds
from nas.search.constraints.repair import Constraints
from nas.space.genotypes import sample

SURROGATE_SAMPLES = 2000  # architectures near the latency budget that the surrogate is fitted to
NEAR = 0.1  # of the latency budget: how near, relative


@dataclass(frozen=True)
class ForestBound:
    """An upper bound `most` on the prediction of the forest in the file `path`, in its unit, for its batch size."""

    path: str
    most: float

    @classmethod
    def parse(cls, text: str) -> "ForestBound":
        """Return the bound written as "FILE.forest.json:MAX"; `InvalidInput` where it is none or the file no forest."""
        path, colon, most = text.rpartition(":")
        try:
            value = float(most) if colon else np.nan
        except ValueError:
            value = np.nan
        if not (path.endswith(SUFFIX) and isfinite(value) and value > 0):
            raise InvalidInput(f"a bound on a forest is FILE{SUFFIX}:MAX with a positive number, got '{text}'")
        bound = cls(path, value)
        low, high = bound.forest.range
        if value < low:
            raise InvalidInput(
                f"the bound on {bound.name} must be at least {low:.4g} {bound.forest.unit}, got {value:g}: the forest "
                f"predicts {low:.4g} to {high:.4g} whatever the network"
            )
        return bound

    @cached_property
    def forest(self) -> Forest:
        """The forest in the file."""
        return load_forest(Path(self.path))

    @property
    def name(self) -> str:
        """Name of the file without its ending."""
        return Path(self.path).name.removesuffix(SUFFIX)

    @property
    def description(self) -> str:
        """The bound in one line, for the plan of a search."""
        return (
            f"hard bound: at most {self.most:g} {self.forest.unit} of {self.forest.of} as the forest {self.name} "
            f"predicts it, kept by checked repair; {self.forest.error_note}"
        )

    def remark(self, arch: ArchSpec) -> str:
        """Return one line of text: what the forest predicts for `arch`, and whether that keeps the bound."""
        value, forest = float(self.forest.predict([arch])[0]), self.forest
        kept = "kept by checked repair" if value <= self.most else "NOT kept"
        return (
            f"predicted {forest.of} by the forest {self.name}: {value:.4g} {forest.unit}, bound {self.most:g}: {kept}; "
            f"{forest.error_note}"
        )


def digest(path: str) -> str:
    """Return 16 digits of the SHA-256 of the file of a forest."""
    return sha256(read_bytes(Path(path))).hexdigest()[:16]


def with_forest_bounds(constraints: Constraints, space: SearchSpace, bounds: Sequence[ForestBound]) -> Constraints:
    """Return `constraints` with these bounds to check, and with surrogate tables from which a policy learns them."""
    if not bounds:
        return constraints
    near, sizes = _near_budget(constraints, space), tuple(len(decision.options) for decision in space.decisions)
    tables = [ForestTable.of(space, bound.forest, bound.name) for bound in bounds]
    predicted_limits = tuple((table, bound.most) for table, bound in zip(tables, bounds, strict=True))
    surrogate_limits = tuple(
        (additive(table, near, sizes), bound.most) for table, bound in zip(tables, bounds, strict=True)
    )
    return replace(constraints, predicted_limits=predicted_limits, surrogate_limits=surrogate_limits)


def _near_budget(constraints: Constraints, space: SearchSpace) -> Genotypes:
    """Return genotypes that a surrogate is fitted to: near the latency and inside the limits, if there are any such."""
    rng = np.random.default_rng(0)
    try:
        return Bounded(space, upper_bounds(replace(constraints, tolerance=NEAR))).draw(rng, SURROGATE_SAMPLES)
    except InvalidInput:
        return sample(space.decisions, rng, SURROGATE_SAMPLES)


def check_reach(constraints: Constraints, space: SearchSpace) -> None:
    """Raise `InvalidInput` where no architecture is found that satisfies `constraints`, bounds on forests included."""
    if not constraints.predicted_limits:
        return
    bounded = Bounded(space, upper_bounds(constraints))
    flat = np.zeros((len(space.decisions), max(len(decision.options) for decision in space.decisions)))
    if project(space, tuple(int(g) for g in bounded.start), flat, constraints) is None:
        sampled = bounded.draw(np.random.default_rng(0), SURROGATE_SAMPLES)
        best = sampled[np.argmin(prediction_excess(constraints, sampled))][None]
        over = [(float(check.score(best)[0]), check.name, most) for check, most in constraints.predicted_limits]
        value, name, most = max(over, key=lambda one: one[0] / one[2])
        raise InvalidInput(
            f"none found that keeps {' and '.join(f'{n} <= {m:g}' for _, n, m in over)} beside the latency and the "
            f"other bounds: the nearest of {len(sampled):,} is predicted {value / most - 1:.2%} more than {name} <= "
            f"{most:g}; a forest allows no proof; loosen {name}"
        )
