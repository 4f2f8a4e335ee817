"""`Strategy`: how a run uses a search algorithm - how it is built, how many candidates it asks for, how it chooses.

Most algorithms are built from a `Proposer` and leave the choice to the run, which takes the best candidate evaluated. A
policy is built from the latency constraint itself, and its answer is its likeliest architecture, projected onto it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nas.errors import InvalidInput, unknown_name
from nas.protocols import Proposer, SearchAlgorithm
from nas.registry import ALGORITHMS, load, made
from nas.search.constraints.repair import Constraints

ASKED_AT_ONCE = 32  # candidates at most: what that many workers can share
ROUNDS = 8  # at least, so that an algorithm learns from what it asked
BATCH = 8  # candidates per batch that a worker gets


@dataclass(frozen=True)
class Problem:
    """What an algorithm is built from: one view of a space, its feasible set or constraints, and the number of trials.

    `proposer` and `constraints` are made when they are asked for; there are `constraints` only for a single target.
    """

    space: Any  # the view
    proposer: Callable[[], Proposer]
    constraints: Callable[[], Constraints]
    trials: int
    ask: int  # candidates asked at once


@dataclass(frozen=True)
class Strategy:
    """An algorithm with what a run must know to use it.

    `projects` marks an algorithm that is built from the constraints of one target and has a method `chosen(state)`, the
    architecture it stands for, projected onto them; such a one keeps bounds on forests too. `joint` marks the search
    that trains the weights and its policy together (nas/runs/joint_search.py); it is built by that run alone.
    """

    build: Callable[[Problem], SearchAlgorithm[Any]]
    ask: Callable[[int], int] = lambda trials: max(1, min(ASKED_AT_ONCE, trials // ROUNDS))
    batch: int = BATCH  # candidates per batch, whatever the number of workers
    trials_per_candidate: int = 1  # default trials, per architecture that the preset evaluates for a front
    projects: bool = False
    joint: bool = False


def strategy(name: str) -> Strategy:
    """Return the strategy of a registered algorithm or of "module:attribute"; `UnknownName` for any other name."""
    if name not in ALGORITHMS and ":" not in name:
        raise unknown_name("algorithm", name, ALGORITHMS)
    found = load("algorithm", ALGORITHMS, name)
    if isinstance(found, Strategy):
        return found
    return Strategy(lambda problem: made("algorithm", name, found, problem.proposer()))


def _built_by_its_run(problem: Problem) -> SearchAlgorithm[Any]:
    raise InvalidInput("the joint search trains for one target; for several choose another algorithm, nsga2 say")


JOINT = Strategy(_built_by_its_run, projects=True, joint=True)
