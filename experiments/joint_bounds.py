"""Does a search land on its latency under bounds on memory, flash and energy together, where that can be done at all?

Question: a policy's likeliest architecture is moved to the latency budget and inside the bounds, in the coarse stage
(sizes) and then in the fine one (blocks). How often does it get there by moves of one or two decisions alone, and how
often with draws that keep all bounds (nas/search/constraints/project.py)? Policies are random (normal logits), no network is
trained: where the policy points does not matter to the guarantee.
Command: nice -n 10 python -m experiments.joint_bounds [--policies 20]   (2 minutes of one core)

Space uib at 224 px, 10 classes; device pixel6-cpu with an energy of 2 W, 5 pJ per MAC and 40 pJ per byte (assumed, to
have one). A bound at a share s stands at least + s x (most - least) of what the space holds; wanted is the latency of
MobileNetV4-Conv-S, or twice that.

What came out, 5 policies each, landed on the whole search's latency within 1 % inside all three bounds:

latency x  share  bounds        by moves  with draws
        1    0.5  feasible          5 of 5       5 of 5
        1    0.2  feasible          0 of 5       5 of 5
        1    0.1  feasible          0 of 5       5 of 5
        1   0.05  proved none
        2    0.5  feasible          5 of 5       5 of 5
        2    0.2  proved none

Moves alone failed in the coarse stage: its blocks need more memory than some bounds allow, so it chose sizes around
which no fine architecture takes the latency budget, and the fine stage aimed at the nearest that it could reach. Now
sizes are chosen among those of architectures that keep everything.
"""

import argparse
from dataclasses import dataclass
from functools import cached_property

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
        """Latency, then what is bounded."""
        model = load_target("pixel6-cpu").model()
        return [model, PEAK_ACTIVATION, WEIGHTS, Energy("energy", model, 2.0, 5.0, 40.0)]

    @cached_property
    def bounds(self) -> list[float]:
        """The bound on each."""
        tables = [compile_table(self.space, cost) for cost in self.costs[1:]]
        ranges = [(float(table.minimum()[0]), float(table.maximum()[0])) for table in tables]
        return [low + self.share * (high - low) for low, high in ranges]

    def constraints(self, space: StagedSpace) -> Constraints:
        """Return what is asked of a stage, as `nas.runs.plan.SearchPlan.constraints` has it."""
        latency, *tables = (compile_table(space, cost) for cost in self.costs)
        latency_budget = self.ratio * load_target("pixel6-cpu").model().predict_ms(
            with_input(reference("mobilenetv4-conv-s"), SIDE, 3, CLASSES)
        )
        target = float(np.clip(latency_budget, latency.minimum()[0], latency.maximum()[0]))
        limits = [(table, max(most, table.minimum()[0])) for table, most in zip(tables, self.bounds, strict=True)]
        return Constraints(latency, target, 0.01, tuple(limits))

    def feasible(self) -> str:
        """Return whether anything in the space keeps all of it."""
        try:
            _ = Bounded(self.space, upper_bounds(self.constraints(self.space))).start
        except InvalidInput as error:
            return "proved none" if "proved" in str(error) else "none found"
        return "feasible"

    def satisfied(self, seed: int) -> tuple[bool, bool]:
        """Return whether a random policy lands by moves alone, and with draws."""
        rng, coarse = np.random.default_rng(seed), self.space.coarse()
        scores = logits(coarse, rng)
        argmax = likeliest(scores)
        by_moves = repair(coarse, argmax, scores, self.constraints(coarse)) or argmax
        with_draws, _ = project_coarse(self.space, coarse, argmax, scores, self.constraints)
        ends = []
        for choice, finish in ((by_moves, repair), (with_draws, project)):
            fine = self.space.fine(coarse.decode(choice))
            scores = logits(fine, np.random.default_rng([seed, 1]))
            end = finish(fine, likeliest(scores), scores, self.constraints(fine))
            ends.append(end is not None and self.kept(fine, end))
        return ends[0], ends[1]

    def kept(self, space: StagedSpace, genotype: Genotype) -> bool:
        """Return whether an architecture keeps what the whole search asks, not what its stage could aim at."""
        whole = self.constraints(self.space)
        return bool(whole.violation(np.array([self.space.encode(space.decode(genotype))]))[0] <= 1e-9)


def logits(space: StagedSpace, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return log-probabilities [D, O] of a random policy; options that do not exist have none."""
    sizes = np.array([len(decision.options) for decision in space.decisions])
    values = SPREAD * rng.standard_normal((len(sizes), sizes.max()))
    values[np.arange(sizes.max()) >= sizes[:, None]] = -np.inf
    return np.asarray(values - np.log(np.exp(values).sum(1, keepdims=True)))


def likeliest(scores: NDArray[np.float64]) -> list[int]:
    """Return the likeliest genotype."""
    return [int(g) for g in scores.argmax(1)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policies", type=int, default=20)
    count = parser.parse_args().policies
    space: StagedSpace = load("space", SPACES, "uib").with_input(SIDE, 3, CLASSES)
    print(f"{'latency x':>9}{'share':>7}  {'bounds':12}{'by moves':>10}{'with draws':>12}")
    for ratio in (1.0, 2.0):
        for share in SHARES:
            case = Case(space, share, ratio)
            answer = case.feasible()
            ends = (
                np.array([case.satisfied(seed) for seed in range(count)]).sum(0) if answer == "feasible" else ("-", "-")
            )
            print(f"{ratio:9g}{share:7g}  {answer:12}{ends[0]:>7} of {count}{ends[1]:>8} of {count}", flush=True)


if __name__ == "__main__":
    main()
