"""An accuracy model that is a sum over decisions as a table, and the best of a whole space within bounds, exactly.

A ridge regression on features that are sums of tables is a sum of tables itself: a cost table of the predicted error.
`minimum_within` finds the genotype of the least value among all that keep upper bounds on other sums:

1. Lagrangian duality: for weights w >= 0 the minimum of value + w . (costs - bounds) over the whole space, exact by
   variable elimination, is at most the answer. Kelley's cutting planes find the weights with the largest minimum.
2. Decisions are set one after the other, in reverse order of elimination, for all partial genotypes at once (label
   setting, as in resource-constrained shortest paths; Irnich and Desaulniers 2005). What elimination has left says what
   is the least that every partial genotype can still end with, by that relaxation and in every cost: those that cannot
   beat the best known or keep a bound are dropped, and of those that agree in all that matters later the better stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Decision, Genotype, Genotypes
from nas.registry import lazy
from nas.search.accuracy.features import FeatureTables
from nas.search.accuracy.ridge import RidgeFit
from nas.search.constraints.elimination import elimination_order, over
from nas.space.cost_table import CostTable, Term
from nas.space.genotypes import canonical

optimize = lazy("scipy.optimize")

Floats = NDArray[np.float64]
Limit = tuple[CostTable, float]  # a cost and its upper bound
MAX_CUTS = 60
BEAM = 2000  # partial genotypes kept while the first complete one is looked for
MAX_LABELS = 30_000  # partial genotypes at once; beyond them the answer is not proved
ROUNDING = 1e-9  # relative


@dataclass(frozen=True)
class Best:
    """The best genotype found, its value, and a value that no genotype within the bounds is below."""

    genotype: Genotype
    value: float
    bound: float

    @property
    def proved(self) -> bool:
        """Whether it is the best of all, to rounding."""
        return self.value <= self.bound + ROUNDING * max(1.0, abs(self.value))


def compile_prediction(features: FeatureTables, fit: RidgeFit) -> CostTable:
    """Return the table of the predicted error, less is better: minus the accuracy that `fit` predicts from `features`.

    Exact to rounding: a ridge regression is linear in features that are sums of tables.
    """
    slopes = fit.coefficients / fit.standardiser.scale  # 0 for a feature that counts nothing
    constant = -(fit.intercept - float(fit.standardiser.centre @ slopes))
    terms = tuple(Term(term.scope, -(term.values @ slopes)) for term in features.terms)
    return CostTable("predicted_error", "sum", constant, terms, features.option_counts)


def predicted_top1(table: CostTable, genotypes: Genotypes) -> Floats:
    """Return the predicted accuracy [N] of genotypes [N, D]."""
    return np.asarray(-table.score(genotypes))


def minimum_within(table: CostTable, limits: Sequence[Limit]) -> Best | None:
    """Return the genotype of the least value of `table`, a sum, among all that keep `limits`; None where none is found.

    Bounds on maxima forbid combinations of options; bounds on sums are kept to 1e-9 of the bound. Not canonical: an
    inactive decision may take any option.
    """
    problem = _Problem.of(table, limits)
    weights, bound = problem.dual()
    search = _Labels(problem, weights)
    found = search.best(np.inf, BEAM) or search.best(np.inf, 10 * BEAM)
    if found is None:
        return None
    better = search.best(found[1], MAX_LABELS)
    best = better or found
    return Best(best[0], best[1], bound if search.cut else best[1])


def best_within(decisions: Sequence[Decision], table: CostTable, limits: Sequence[Limit]) -> Genotype | None:
    """Return the canonical genotype of the least value among all that keep `limits`, None where none is found."""
    found = minimum_within(table, limits)
    return None if found is None else tuple(canonical(decisions, np.array([found.genotype]))[0].tolist())


@dataclass(frozen=True)
class _Step:
    """A decision, those it depends on, its joint table [*rest, options] and the minimum over its options [*rest]."""

    decision: int
    rest: tuple[int, ...]
    joint: Floats
    least: Floats


@dataclass(frozen=True)
class _Problem:
    """Minimise a sum of terms subject to K sums of at most `bounds` [K]; the constants are part of both."""

    value: tuple[Term, ...]
    constant: float
    costs: tuple[tuple[Term, ...], ...]
    bounds: Floats
    sizes: tuple[int, ...]
    order: list[int]

    @classmethod
    def of(cls, table: CostTable, limits: Sequence[Limit]) -> "_Problem":
        """Return the problem with costs in units of their bounds."""
        value, costs, bounds = list(_floats(table, 1.0)), [], []
        for cost, bound in limits:
            if cost.combiner == "max":  # kept where each of its terms keeps the bound
                value += [Term(term.scope, np.where(term.values <= bound, 0.0, np.inf)) for term in cost.terms]
            else:
                unit = abs(bound) or 1.0
                costs.append(_floats(cost, unit))
                bounds.append((bound - float(cost.constant)) / unit + ROUNDING)
        every = [term.scope for terms in (value, *costs) for term in terms]
        order = elimination_order(every, len(table.option_counts))
        return cls(tuple(value), float(table.constant), tuple(costs), np.array(bounds), table.option_counts, order)

    def weighted(self, weights: Floats) -> list[Term]:
        """Return the terms of value + weights . costs."""
        scaled = [
            Term(term.scope, weight * term.values)
            for weight, terms in zip(weights, self.costs, strict=True)
            for term in terms
        ]
        return [*self.value, *scaled]

    def steps(self, terms: Sequence[Term]) -> tuple[list[_Step], float]:
        """Return the steps of min-sum elimination of a sum of terms, in order, and its minimum."""
        left, steps, total = list(terms), [], 0.0
        for decision in self.order:
            touching = [term for term in left if decision in term.scope]
            left = [term for term in left if decision not in term.scope]
            rest = tuple(sorted({d for term in touching for d in term.scope} - {decision}))
            shape = (*(self.sizes[d] for d in rest), self.sizes[decision])
            joint = reduce(np.add, (over(term, (*rest, decision)) for term in touching), np.zeros(shape))
            least = joint.min(-1)
            steps.append(_Step(decision, rest, joint, least))
            if rest:
                left.append(Term(rest, least))
            else:
                total += float(least)
        return steps, total

    def dual(self) -> tuple[Floats, float]:
        """Return the weights [K] under which the minimum is largest, and that minimum, a bound on the answer."""
        count = len(self.bounds)
        best, bound = np.zeros(count), -np.inf
        weights, cuts = best, []
        for _ in range(MAX_CUTS):
            steps, least = self.steps(self.weighted(weights))
            here = self.constant + least - float(weights @ self.bounds)
            if here > bound:
                best, bound = weights, here
            if not count or not np.isfinite(least):
                break
            genotype = _argmin(steps, len(self.sizes))
            over_by = np.array([_sum_at(terms, genotype) for terms in self.costs]) - self.bounds
            cuts.append((self.constant + _sum_at(self.value, genotype), over_by))
            weights, most = _best_weights(cuts)
            if most <= bound + ROUNDING * max(1.0, abs(bound)):
                break
        return best, bound


class _Labels:
    """The label setting over one problem; `cut` says whether labels were dropped without proof in the last search."""

    def __init__(self, problem: _Problem, weights: Floats) -> None:
        self.problem = problem
        relaxed, self.least = problem.steps(problem.weighted(weights))
        self.offset = problem.constant - float(weights @ problem.bounds)
        sums = [problem.steps(terms) for terms in problem.costs]
        self.cost_least = np.array([least for _, least in sums])
        # Per decision the steps of the relaxation and of every cost, last eliminated first. All have one order, but the
        # scopes of a single cost are smaller.
        self.levels = list(zip(relaxed, *(steps for steps, _ in sums), strict=True))[::-1]
        self.cut = False

    def best(self, known: float, most: int) -> tuple[Genotype, float] | None:
        """Return the best genotype and its value where it is below `known`, keeping up to `most` labels."""
        problem, self.cut = self.problem, False
        at = np.zeros((1, len(problem.sizes)), np.int16)
        lower, costs = np.array([self.offset + self.least]), self.cost_least[None]
        slack = ROUNDING * max(1.0, abs(known)) if np.isfinite(known) else 0.0
        for level, (relaxed, *of_costs) in enumerate(self.levels):
            # All options of all labels: what the relaxation and each cost can end with at least, after this choice.
            size = problem.sizes[relaxed.decision]
            new_lower = (lower[:, None] + _increase(relaxed, at)).ravel()
            new_costs = np.stack(
                [(costs[:, k, None] + _increase(step, at)).ravel() for k, step in enumerate(of_costs)], 1
            ) if of_costs else np.zeros((len(new_lower), 0))  # fmt: skip
            kept = np.flatnonzero((new_lower < known - slack) & (new_costs <= problem.bounds).all(1))
            at = at[kept // size]
            at[:, relaxed.decision] = kept % size
            lower, costs = new_lower[kept], new_costs[kept]
            chosen = self._distinct(level, at, lower, costs)
            if len(chosen) > most:
                self.cut, chosen = True, chosen[np.argsort(lower[chosen], kind="stable")[:most]]
            at, lower, costs = at[chosen], lower[chosen], costs[chosen]
        if not len(at):
            return None
        values = problem.constant + np.array([_sum_at(problem.value, tuple(map(int, row))) for row in at])
        row = int(values.argmin())
        return tuple(int(g) for g in at[row]), float(values[row])

    def _distinct(self, level: int, at: NDArray[np.int16], lower: Floats, costs: Floats) -> NDArray[np.intp]:
        """Return of labels with equal decisions that matter later, and equal costs, the one with the least bound."""
        later = {d for steps in self.levels[level + 1 :] for step in steps for d in step.rest}
        done = sorted(later & {steps[0].decision for steps in self.levels[: level + 1]})
        rounded = np.round(costs / ROUNDING).astype(np.int64)
        order = np.lexsort((lower, *rounded.T, *(at[:, d] for d in done)))
        keys = np.concatenate([rounded, at[:, done]], 1)[order]
        first = np.ones(len(order), bool)
        first[1:] = (keys[1:] != keys[:-1]).any(1)
        return np.asarray(order[first])


def _increase(step: _Step, at: NDArray[np.int16]) -> Floats:
    """Return by how much each option [N, O] of the decision raises the least that partial genotypes can end with."""
    index = tuple(at[:, d] for d in step.rest)
    if not step.rest:
        return np.broadcast_to(step.joint - step.least, (len(at), len(step.joint)))
    least = step.least[index][:, None]
    return np.where(np.isfinite(least), step.joint[index] - np.where(np.isfinite(least), least, 0.0), np.inf)


def _argmin(steps: Sequence[_Step], decisions: int) -> Genotype:
    genotype = [0] * decisions
    for step in reversed(steps):
        genotype[step.decision] = int(step.joint[tuple(genotype[d] for d in step.rest)].argmin())
    return tuple(genotype)


def _sum_at(terms: Sequence[Term], genotype: Genotype) -> float:
    return float(sum(term.values[tuple(genotype[d] for d in term.scope)] for term in terms))


def _best_weights(cuts: Sequence[tuple[float, Floats]]) -> tuple[Floats, float]:
    """Return the weights w >= 0 with the largest minimum of value + w . excess over the cuts, and that minimum."""
    values, excesses = np.array([value for value, _ in cuts]), np.array([excess for _, excess in cuts])
    count = excesses.shape[1]
    ceiling = 1e3 * max(1.0, float(np.ptp(values)), float(np.abs(values).max()))
    answer = optimize.linprog(
        c=np.array([*np.zeros(count), -1.0]),
        A_ub=np.hstack([-excesses, np.ones((len(values), 1))]),
        b_ub=values,
        bounds=[*[(0, ceiling)] * count, (None, None)],
    )
    return np.maximum(answer.x[:count], 0), float(-answer.fun)


def _floats(table: CostTable, unit: float) -> tuple[Term, ...]:
    return tuple(Term(term.scope, term.values.astype(np.float64) / unit) for term in table.terms)
