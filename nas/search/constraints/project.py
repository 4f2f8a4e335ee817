"""Landing: the likeliest architecture that takes the latency budget and keeps all bounds, those without a table too.

Moves from a policy's choice (nas/search/constraints/repair.py) can end where no two of them help, the sooner the more bounds there
are. Then genotypes that keep everything are drawn (nas/search/constraints/bounds.py), the choice is moved towards them, and the
likeliest of these is improved by moves that keep everything. A bound on a prediction without a table, a forest say, is
kept by checked repair: moves that the tables allow are predicted in batches, and only what was checked is returned.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.protocols import Genotype, Genotypes, SearchSpace
from nas.search.constraints.bounds import Bounded, Limit
from nas.search.constraints.repair import Constraints, neighbours, repair
from nas.space.genotypes import canonical

DRAWS = 64  # genotypes inside all bounds that a choice is moved towards
CLIMBS = 40  # moves that improve the likeliest at most
CHECKED = 1024  # architectures that are predicted at once, the likeliest first
CHECKED_MOVES = 40  # steps of a checked repair at most
CHECKED_DRAWS = 8  # batches of draws that are predicted where moves end outside
WIDER = 1e-9  # relative: the order in which terms are summed shall not decide
Scores = NDArray[np.float64]


def band(constraints: Constraints) -> tuple[Limit, ...]:
    """Return all that `constraints` asks of tables as upper bounds: its limits, and its latency from both sides."""
    least, most = (constraints.target * (1 + sign * constraints.tolerance * (1 - WIDER)) for sign in (-1, 1))
    return (*constraints.limits, (constraints.latency, most), (constraints.latency.negative(), -least))


def reachable(space: SearchSpace, constraints: Constraints) -> bool:
    """Return whether some genotype is found that keeps what `constraints` asks of tables."""
    try:
        bounded = Bounded(space, band(constraints))
        return not bounded.limits or len(bounded.start) > 0
    except InvalidInput:
        return False


def project(space: SearchSpace, genotype: Sequence[int], scores: Scores, constraints: Constraints) -> Genotype | None:
    """Return the likeliest genotype found near `genotype` that keeps `constraints`, or None where none was found.

    `scores` [D, O] are log-probabilities. Deterministic. Where moves alone reach the goal, they decide.
    """
    found = repair(space, genotype, scores, constraints)
    if found is None:
        found = _sampled(space, genotype, scores, constraints)
    return found if found is None or not constraints.predicted_limits else _checked(space, found, scores, constraints)


def project_coarse(
    space: Any, coarse: Any, genotype: Sequence[int], scores: Scores, constraints_of: Callable[[Any], Constraints]
) -> tuple[Genotype, bool]:
    """Return a genotype of the stage `coarse` around which the stage after it can land, and whether it lands itself.

    `space` holds all decisions and has `fine(arch)`, the space of the stage after; `constraints_of` gives each space's goal.
    Where the likeliest choice leads nowhere, genotypes of the whole space that keep all bounds say which sizes do.
    """
    constraints, last = constraints_of(coarse), constraints_of(space)
    satisfied = project(coarse, genotype, scores, constraints)
    choice = tuple(int(g) for g in canonical(coarse.decisions, np.array([satisfied or genotype]))[0])
    if satisfied is not None and as_requested(constraints, last).violation(np.array([choice]))[0] <= 0:
        return choice, True  # the fine stage holds what landed here
    fine = space.fine(coarse.decode(choice))
    if reachable(fine, as_requested(constraints_of(fine), last)):
        return choice, satisfied is not None
    try:
        whole = Bounded(space, band(last)).draw(np.random.default_rng(0), DRAWS)
    except InvalidInput:
        return choice, satisfied is not None
    over = excess(last, whole)
    sizes = _sizes(space, coarse, whole[over <= max(0.0, float(over.min()))])
    best = sizes[np.argmax(likelihood(sizes, scores))]
    return tuple(int(g) for g in best), bool(
        constraints.violation(best[None])[0] <= 0 and excess(constraints, best[None])[0] <= 0
    )


def as_requested(constraints: Constraints, last: Constraints) -> Constraints:
    """Return the goal of a stage with what the whole search asks, where the stage aims at the nearest it can reach."""
    limits = tuple((table, most) for (table, _), (_, most) in zip(constraints.limits, last.limits, strict=True))
    return replace(constraints, target=last.target, limits=limits)


def _sizes(space: SearchSpace, coarse: SearchSpace, genotypes: Genotypes) -> Genotypes:
    """Return the genotypes [N, D'] of `coarse` that have the sizes of genotypes [N, D] of `space`."""
    place = {decision.name: decision_index for decision_index, decision in enumerate(space.decisions)}
    return canonical(coarse.decisions, genotypes[:, [place[decision.name] for decision in coarse.decisions]])


def likelihood(genotypes: Genotypes, scores: Scores) -> Scores:
    """Return the sums of scores [D, O] over the decisions of genotypes [N, D], as [N]."""
    return np.asarray(scores[np.arange(genotypes.shape[1]), genotypes].sum(1))


def _sampled(space: SearchSpace, genotype: Sequence[int], scores: Scores, constraints: Constraints) -> Genotype | None:
    """Return the likeliest of what lies between `genotype` and draws inside all tables' bounds, improved by moves."""
    bounded, rng = Bounded(space, band(constraints)), np.random.default_rng(0)
    try:
        inside = bounded.draw(rng, DRAWS)
        near = bounded.repaired(np.tile(np.asarray(genotype, np.int32), (DRAWS, 1)), rng)
    except InvalidInput:
        return None
    found = np.concatenate([inside, near])
    found = found[constraints.violation(found) <= 0]
    if not len(found):
        return None
    at = found[np.argmax(likelihood(found, scores))]
    for _ in range(CLIMBS):
        moved = _likelier(space, at, scores, constraints)
        if moved is None:
            break
        at = moved
    return tuple(int(g) for g in at)


def _likelier(
    space: SearchSpace, at: NDArray[np.int32], scores: Scores, constraints: Constraints
) -> NDArray[np.int32] | None:
    """Return the likeliest neighbour that keeps the tables' part of `constraints` and beats `at`, or None."""
    for moves in (1, 2):
        near = neighbours(space, at.tolist(), moves)
        gain = likelihood(near, scores) - likelihood(at[None], scores)[0]
        near, gain = near[gain > WIDER], gain[gain > WIDER]
        kept = constraints.violation(near) <= 0 if len(near) else np.zeros(0, bool)
        if kept.any():
            best: NDArray[np.int32] = near[kept][np.argmax(gain[kept])]
            return best
    return None


def excess(constraints: Constraints, genotypes: Genotypes) -> Scores:
    """Return by how much the predictions of genotypes [N, D] exceed the checked bounds, relative and summed, [N]."""
    over = [np.maximum(check.score(genotypes) / most - 1, 0) for check, most in constraints.predicted_limits]
    return np.sum([np.zeros(len(genotypes)), *over], axis=0)


def _checked(space: SearchSpace, genotype: Genotype, scores: Scores, constraints: Constraints) -> Genotype | None:
    """Return the genotype that keeps the checked bounds as well, reached by moves or found among draws."""
    at = np.asarray(genotype, np.int32)
    over = float(excess(constraints, at[None])[0])
    for _ in range(CHECKED_MOVES):
        if over <= 0:
            return tuple(int(g) for g in at)
        step = next(_steps(space, at, over, (scores, constraints)), None)
        if step is None:
            break
        at, over = step
    if over <= 0:
        return tuple(int(g) for g in at)
    return _checked_draw(space, scores, constraints)


def _steps(
    space: SearchSpace, at: NDArray[np.int32], over: float, judged: tuple[Scores, Constraints]
) -> Iterator[tuple[NDArray[np.int32], float]]:
    """Yield neighbours that keep the tables and exceed the checked bounds less: one move, then two, then guided."""
    scores, constraints = judged
    for moves in (1, 2):
        near = neighbours(space, at.tolist(), moves)
        near = near[constraints.violation(near) <= 0]
        if not len(near):
            continue
        worth = likelihood(near, scores)
        likeliest = near[np.argsort(-worth, kind="stable")[:CHECKED]]
        leading = near[np.argsort(_surrogate_excess(constraints, near), kind="stable")[:CHECKED]]
        for some in (likeliest, leading):
            left = excess(constraints, some)
            if left.min() < over:
                kept = np.flatnonzero(left <= left.min())
                best = kept[np.argmax(likelihood(some[kept], scores))]
                yield some[best], float(left[best])


def _surrogate_excess(constraints: Constraints, genotypes: Genotypes) -> Scores:
    """Return what the guides say genotypes [N, D] take, over the bounds and summed, [N]."""
    return np.sum(
        [np.zeros(len(genotypes)), *(t.score(genotypes) / most for t, most in constraints.surrogate_limits)], axis=0
    )


def _checked_draw(space: SearchSpace, scores: Scores, constraints: Constraints) -> Genotype | None:
    """Return the likeliest of the draws inside the tables' bounds that keeps the checked ones too, or None."""
    rng = np.random.default_rng(1)
    for surrogate_limits in (constraints.surrogate_limits, ()):
        try:
            bounded = Bounded(space, (*band(constraints), *surrogate_limits))
            for _ in range(CHECKED_DRAWS):
                sampled = bounded.draw(rng, CHECKED)
                sampled = sampled[excess(constraints, sampled) <= 0]
                if len(sampled):
                    return tuple(int(g) for g in sampled[np.argmax(likelihood(sampled, scores))])
        except InvalidInput:
            continue
    return None
