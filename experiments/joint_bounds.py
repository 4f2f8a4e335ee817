"""Study: does a search satisfy its latency budget under joint bounds on memory, flash and energy, where feasible?

Question: the argmax of a policy is projected to the latency budget and the bounds, in the coarse stage (sizes) and then
in the fine one (blocks). How often does this succeed by moves of one or two decisions alone, and how often with samples
that keep all bounds (nas/search/constraints/project.py)? Policies are random (normal logits) and no network is trained:
the guarantee does not depend on the policy.
Command: nice -n 10 python -m experiments.joint_bounds [--policies 20]   (2 minutes of one core)

Space uib at 224 px, 10 classes; device pixel6-cpu with an energy of 2 W, 5 pJ per MAC and 40 pJ per byte (assumed,
as none is published). A bound at a share s is minimum + s x (maximum - minimum) of the cost over the space; the latency
budget is the latency of MobileNetV4-Conv-S, or twice that.

Result, 5 policies each: how many satisfy the budget of the whole search within 1 % and all three bounds:

latency x  share  bounds        by moves  with samples
        1    0.5  feasible          5 of 5         5 of 5
        1    0.2  feasible          0 of 5         5 of 5
        1    0.1  feasible          0 of 5         5 of 5
        1   0.05  proved none
        2    0.5  feasible          5 of 5         5 of 5
        2    0.2  proved none

Moves alone failed in the coarse stage: its blocks need more memory than some bounds allow, so it chose sizes around
which no fine architecture has the latency of the budget, and the fine stage took the nearest that it could reach. Now
sizes are chosen among those of architectures that satisfy all constraints.
"""

import argparse
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_models.energy import Energy
from latency_models.target import load_target
from nas.errors import InvalidInput
from nas.protocols import Cost, Genotype
from nas.registry import SPACES, load
from nas.search.constraints.bounds import Bounded
from nas.search.constraints.project import project, project_coarse, upper_bounds
from nas.search.constraints.repair import Constraints, repair
from nas.space.cost_table import PEAK_ACTIVATION, WEIGHTS, compile_table
from nas.space.scaling import with_input
from nas.space.staged import StagedSpace
from nas.zoo import reference

SHARES = (0.5, 0.2, 0.1, 0.05)
CLASSES, SIDE = 10, 224
SPREAD = 2.0  # of the logits


@dataclass(frozen=True)
class Case:
    """Bounds at one share of the range of each cost."""

    space: StagedSpace
    share: float
    ratio: float  # latency budget over that of the reference network

    @cached_property
    def costs(self) -> list[Cost]:
        """The costs: latency, then the bounded ones."""
        model = load_target("pixel6-cpu").model()
        return [model, PEAK_ACTIVATION, WEIGHTS, Energy("energy", model, 2.0, 5.0, 40.0)]

    @cached_property
    def bounds(self) -> list[float]:
        """The bound on each cost but latency."""
        tables = [compile_table(self.space, cost) for cost in self.costs[1:]]
        ranges = [(float(table.minimum()[0]), float(table.maximum()[0])) for table in tables]
        return [low + self.share * (high - low) for low, high in ranges]

    def constraints(self, space: StagedSpace) -> Constraints:
        """Return the constraints of a stage, as `nas.runs.plan.SearchPlan.constraints` does."""
        latency, *tables = (compile_table(space, cost) for cost in self.costs)
        latency_budget = self.ratio * load_target("pixel6-cpu").model().predict_ms(
            with_input(reference("mobilenetv4-conv-s"), SIDE, 3, CLASSES)
        )
        target = float(np.clip(latency_budget, latency.minimum()[0], latency.maximum()[0]))
        limits = [(table, max(most, table.minimum()[0])) for table, most in zip(tables, self.bounds, strict=True)]
        return Constraints(latency, target, 0.01, tuple(limits))

    def feasible(self) -> str:
        """Return whether any architecture satisfies all constraints: "feasible", "proved none" or "none found"."""
        try:
            _ = Bounded(self.space, upper_bounds(self.constraints(self.space))).start
        except InvalidInput as error:
            return "proved none" if "proved" in str(error) else "none found"
        return "feasible"

    def satisfied(self, seed: int) -> tuple[bool, bool]:
        """Return whether projecting a random policy succeeds by moves alone, and with samples."""
        rng, coarse = np.random.default_rng(seed), self.space.coarse()
        scores = logits(coarse, rng)
        argmax = argmax_of(scores)
        by_moves = repair(coarse, argmax, scores, self.constraints(coarse)) or argmax
        with_samples, _ = project_coarse(self.space, coarse, argmax, scores, self.constraints)
        ends = []
        for choice, finish in ((by_moves, repair), (with_samples, project)):
            fine = self.space.fine(coarse.decode(choice))
            scores = logits(fine, np.random.default_rng([seed, 1]))
            end = finish(fine, argmax_of(scores), scores, self.constraints(fine))
            ends.append(end is not None and self.satisfies(fine, end))
        return ends[0], ends[1]

    def satisfies(self, space: StagedSpace, genotype: Genotype) -> bool:
        """Return whether an architecture satisfies the constraints of the whole search, not only those of its stage."""
        whole = self.constraints(self.space)
        return bool(whole.violation(np.array([self.space.encode(space.decode(genotype))]))[0] <= 1e-9)


def logits(space: StagedSpace, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return log-probabilities [D, O] of a random policy, -inf for options that do not exist."""
    sizes = np.array([len(decision.options) for decision in space.decisions])
    values = SPREAD * rng.standard_normal((len(sizes), sizes.max()))
    values[np.arange(sizes.max()) >= sizes[:, None]] = -np.inf
    return np.asarray(values - np.log(np.exp(values).sum(1, keepdims=True)))


def argmax_of(scores: NDArray[np.float64]) -> list[int]:
    """Return the genotype with the most probable options."""
    return [int(g) for g in scores.argmax(1)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policies", type=int, default=20)
    count = parser.parse_args().policies
    space: StagedSpace = load("space", SPACES, "uib").with_input(SIDE, 3, CLASSES)
    print(f"{'latency x':>9}{'share':>7}  {'bounds':12}{'by moves':>10}{'with samples':>14}")
    for ratio in (1.0, 2.0):
        for share in SHARES:
            case = Case(space, share, ratio)
            feasible = case.feasible()
            ends: Any = "-", "-"
            if feasible == "feasible":
                ends = np.array([case.satisfied(seed) for seed in range(count)]).sum(0)
            print(f"{ratio:9g}{share:7g}  {feasible:12}{ends[0]:>7} of {count}{ends[1]:>10} of {count}", flush=True)


if __name__ == "__main__":
    main()
