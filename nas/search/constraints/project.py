"""Project a policy's choice onto the constraints: the likeliest architecture that keeps the latency and every bound.

1. Local moves from the choice (nas/search/constraints/repair.py). They can end where no two changes together help; the
   more bounds, the sooner.
2. Otherwise feasible genotypes are sampled (nas/search/constraints/bounds.py), the choice is moved towards them, and
   the likeliest of all these is improved by local moves that stay feasible.
3. A bound on a prediction that has no cost table, a forest's say, is kept by checked repair: moves that the tables
   allow are predicted in batches, and only a genotype that was checked is returned.
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

DRAWS = 64  # feasible genotypes that a choice is moved towards
MAX_IMPROVEMENTS = 40  # moves that improve the likeliest
CHECKED = 1024  # architectures that are predicted at once, the likeliest first
MAX_CHECKED_MOVES = 40  # steps of a checked repair
CHECKED_ROUNDS = 8  # batches of samples that are predicted where moves end outside
ROUNDING = 1e-9  # relative: the order in which terms are summed must not decide
Scores = NDArray[np.float64]


def upper_bounds(constraints: Constraints) -> tuple[Limit, ...]:
    """Return all that `constraints` asks of cost tables as upper bounds.

    The limits as they are, and the latency twice: from above, and its negative, which bounds it from below.
    """
    least, most = (constraints.target * (1 + sign * constraints.tolerance * (1 - ROUNDING)) for sign in (-1, 1))
    return (*constraints.limits, (constraints.latency, most), (constraints.latency.negative(), -least))


def reachable(space: SearchSpace, constraints: Constraints) -> bool:
    """Return whether some genotype is found that keeps what `constraints` asks of cost tables."""
    try:
        bounded = Bounded(space, upper_bounds(constraints))
        return not bounded.limits or len(bounded.start) > 0
    except InvalidInput:
        return False


def project(space: SearchSpace, genotype: Sequence[int], scores: Scores, constraints: Constraints) -> Genotype | None:
    """Return the likeliest genotype found near `genotype` that satisfies `constraints`, or None where none was found.

    `scores` [D, O] are log-probabilities of the options. Deterministic. Where local moves alone satisfy the
    constraints, theirs is the answer.
    """
    found = repair(space, genotype, scores, constraints)
    if found is None:
        found = _project_by_sampling(space, genotype, scores, constraints)
    return found if found is None or not constraints.predicted_limits else _checked(space, found, scores, constraints)


def project_coarse(
    space: Any, coarse: Any, genotype: Sequence[int], scores: Scores, constraints_of: Callable[[Any], Constraints]
) -> tuple[Genotype, bool]:
    """Return a genotype of the view `coarse` from which the fine search can satisfy the constraints.

    The second value says whether it satisfies the constraints of its own view already. `space` holds all decisions and
    has `fine(arch)`, the view of the fine search; `constraints_of` gives the constraints of a view, which aim at the
    nearest latency where the view cannot reach the search's budget.
    """
    constraints, final = constraints_of(coarse), constraints_of(space)
    satisfied = project(coarse, genotype, scores, constraints)
    choice = tuple(int(g) for g in canonical(coarse.decisions, np.array([satisfied or genotype]))[0])
    # 1. The choice satisfies the constraints of the whole search: the fine view contains it, so it can satisfy them.
    if satisfied is not None and with_search_budget(constraints, final).violation(np.array([choice]))[0] <= 0:
        return choice, True
    # 2. The choice itself may be off, but some choice of block options around it satisfies the constraints.
    fine = space.fine(coarse.decode(choice))
    if reachable(fine, with_search_budget(constraints_of(fine), final)):
        return choice, satisfied is not None
    # 3. Neither: take filters and depths from feasible genotypes of the whole space, the likeliest under the policy
    # among those whose predictions break the checked bounds least.
    try:
        whole = Bounded(space, upper_bounds(final)).draw(np.random.default_rng(0), DRAWS)
    except InvalidInput:
        return choice, satisfied is not None
    over = prediction_excess(final, whole)
    candidates = _coarse_genotypes(space, coarse, whole[over <= max(0.0, float(over.min()))])
    best = candidates[np.argmax(log_likelihood(candidates, scores))]
    return tuple(int(g) for g in best), bool(
        constraints.violation(best[None])[0] <= 0 and prediction_excess(constraints, best[None])[0] <= 0
    )


def with_search_budget(constraints: Constraints, final: Constraints) -> Constraints:
    """Return the constraints over one view with the latency and bounds that the whole search asks for.

    A view that cannot reach those aims at the nearest that it can reach; `final` are the constraints of the search.
    """
    limits = tuple((table, most) for (table, _), (_, most) in zip(constraints.limits, final.limits, strict=True))
    return replace(constraints, target=final.target, tolerance=final.tolerance, limits=limits, budget=final.budget)


def _coarse_genotypes(space: SearchSpace, coarse: SearchSpace, genotypes: Genotypes) -> Genotypes:
    """Return the genotypes [N, D'] of `coarse` with the filters and depths of genotypes [N, D] of `space`."""
    index_of = {decision.name: d for d, decision in enumerate(space.decisions)}
    return canonical(coarse.decisions, genotypes[:, [index_of[decision.name] for decision in coarse.decisions]])


def log_likelihood(genotypes: Genotypes, scores: Scores) -> Scores:
    """Return the sums of scores [D, O] over the decisions of genotypes [N, D], as [N]."""
    return np.asarray(scores[np.arange(genotypes.shape[1]), genotypes].sum(1))


def _project_by_sampling(
    space: SearchSpace, genotype: Sequence[int], scores: Scores, constraints: Constraints
) -> Genotype | None:
    """Return the likeliest of feasible samples and of mixtures of `genotype` with them, improved by local moves."""
    bounded, rng = Bounded(space, upper_bounds(constraints)), np.random.default_rng(0)
    try:
        inside = bounded.draw(rng, DRAWS)
        near = bounded.repaired(np.tile(np.asarray(genotype, np.int32), (DRAWS, 1)), rng)
    except InvalidInput:
        return None
    found = np.concatenate([inside, near])
    found = found[constraints.violation(found) <= 0]
    if not len(found):
        return None
    at = found[np.argmax(log_likelihood(found, scores))]
    for _ in range(MAX_IMPROVEMENTS):
        moved = _likelier(space, at, scores, constraints)
        if moved is None:
            break
        at = moved
    return tuple(int(g) for g in at)


def _likelier(
    space: SearchSpace, at: NDArray[np.int32], scores: Scores, constraints: Constraints
) -> NDArray[np.int32] | None:
    """Return the likeliest neighbour of `at` that satisfies the cost tables and is likelier than `at`, or None."""
    for moves in (1, 2):
        near = neighbours(space, at.tolist(), moves)
        gain = log_likelihood(near, scores) - log_likelihood(at[None], scores)[0]
        near, gain = near[gain > ROUNDING], gain[gain > ROUNDING]
        kept = constraints.violation(near) <= 0 if len(near) else np.zeros(0, bool)
        if kept.any():
            best: NDArray[np.int32] = near[kept][np.argmax(gain[kept])]
            return best
    return None


# ------------------------------------------------------------------------------------- bounds on predictions, checked


def prediction_excess(constraints: Constraints, genotypes: Genotypes) -> Scores:
    """Return by how much the predictions of genotypes [N, D] exceed their bounds, relative and summed, as [N]."""
    over = [np.maximum(check.score(genotypes) / most - 1, 0) for check, most in constraints.predicted_limits]
    return np.sum([np.zeros(len(genotypes)), *over], axis=0)


def _checked(space: SearchSpace, genotype: Genotype, scores: Scores, constraints: Constraints) -> Genotype | None:
    """Return a genotype that keeps the bounds on predictions as well, by moves from `genotype` or among samples."""
    at = np.asarray(genotype, np.int32)
    over = float(prediction_excess(constraints, at[None])[0])
    # Steepest descent on the excess of the predictions, among neighbours that satisfy the cost tables.
    for _ in range(MAX_CHECKED_MOVES):
        if over <= 0:
            return tuple(int(g) for g in at)
        step = next(_steps(space, at, over, (scores, constraints)), None)
        if step is None:
            break
        at, over = step
    if over <= 0:
        return tuple(int(g) for g in at)
    return _checked_sample(space, scores, constraints)


def _steps(
    space: SearchSpace, at: NDArray[np.int32], over: float, judged: tuple[Scores, Constraints]
) -> Iterator[tuple[NDArray[np.int32], float]]:
    """Yield neighbours that satisfy the cost tables and whose predictions exceed the bounds less than `over`.

    Neighbours by one move come first, then by two. Of the many neighbours only some are predicted: the likeliest, then
    those for which the surrogate tables promise the lowest predictions.
    """
    scores, constraints = judged
    for moves in (1, 2):
        near = neighbours(space, at.tolist(), moves)
        near = near[constraints.violation(near) <= 0]
        if not len(near):
            continue
        worth = log_likelihood(near, scores)
        likeliest = near[np.argsort(-worth, kind="stable")[:CHECKED]]
        promising = near[np.argsort(_surrogate_cost(constraints, near), kind="stable")[:CHECKED]]
        for some in (likeliest, promising):
            left = prediction_excess(constraints, some)
            if left.min() < over:
                kept = np.flatnonzero(left <= left.min())
                best = kept[np.argmax(log_likelihood(some[kept], scores))]
                yield some[best], float(left[best])


def _surrogate_cost(constraints: Constraints, genotypes: Genotypes) -> Scores:
    """Return what the surrogate tables say of genotypes [N, D], relative to their bounds and summed, as [N]."""
    return np.sum(
        [np.zeros(len(genotypes)), *(t.score(genotypes) / most for t, most in constraints.surrogate_limits)], axis=0
    )


def _checked_sample(space: SearchSpace, scores: Scores, constraints: Constraints) -> Genotype | None:
    """Return the likeliest feasible sample whose predictions keep their bounds too, or None.

    Samples come from within the surrogate tables' bounds first, where most predictions keep theirs; then without them,
    as the surrogates may be wrong.
    """
    rng = np.random.default_rng(1)
    for surrogate_limits in (constraints.surrogate_limits, ()):
        try:
            bounded = Bounded(space, (*upper_bounds(constraints), *surrogate_limits))
            for _ in range(CHECKED_ROUNDS):
                sampled = bounded.draw(rng, CHECKED)
                sampled = sampled[prediction_excess(constraints, sampled) <= 0]
                if len(sampled):
                    return tuple(int(g) for g in sampled[np.argmax(log_likelihood(sampled, scores))])
        except InvalidInput:
            continue
    return None
