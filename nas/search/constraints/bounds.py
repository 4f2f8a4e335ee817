"""Hard bounds on costs, kept by construction: sample and repair inside the bounds, or prove that nothing is inside.

Under tight bounds, feasible genotypes are too rare to hit by uniform sampling. `Bounded` is the `Proposer` that finds
them. How, from top to bottom of this file:

1. Sampling. Importance sampling with exponential tilting (rare-event sampling; Siegmund 1976, Annals of Statistics
   4(4)): genotypes are sampled with probability proportional to exp(-weights . costs), exactly, by variable elimination
   (nas/search/constraints/elimination.py). With the right weights a good part of the samples is feasible; choosing
   among the feasible ones with the inverse probabilities restores the target distribution: every decision
   uniform, given the bounds. Bounds on maxima (peak memory) forbid single options and are exact without weights.
2. Repair of offspring: path relinking (Glover 1997) towards a feasible sample, which ends there at the latest.
3. Feasibility. A feasible genotype is looked for among the samples, then by local search. That there is none is proved
   by Lagrangian duality: a weighting of the bounds under which even the minimum of the weighted costs is too large.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.protocols import Decision, Genotypes, SearchSpace
from nas.registry import lazy
from nas.search.constraints.elimination import Step, eliminate, elimination_order
from nas.search.constraints.elimination import sample as sample_steps
from nas.search.constraints.repair import neighbours
from nas.space.cost_table import CostTable, Term, within
from nas.space.genotypes import canonical, keys, sample

optimize = lazy("scipy.optimize")  # takes 0.3 s to import, and few searches need it

Limit = tuple[CostTable, float]  # a cost over the space and its upper bound

MAX_ENUMERATED = 1 << 15  # a space of up to so many genotypes is enumerated instead of sampled
PROBES = 256  # samples that estimate how good a tilt is
ENOUGH_FEASIBLE = 0.2  # share of feasible probes from which a tilt is good enough
MAX_TILTS = 24  # tilts tried
SAMPLING_ROUNDS = 3  # each four times the size of the last, before samples are called too rare
MAX_EXPANDED = 200  # genotypes whose neighbours are added where samples are too rare
PATHS = 4  # random paths per genotype that is repaired
MAX_CUTS = 60  # cutting planes of the dual bound
DESCENTS = 4  # local searches from the nearest samples, and as many from the last cuts
MAX_DESCENT_STEPS = 60
MAX_NEWTON_STEP = 5.0  # of the weights, in units of the costs' standard deviations
MAX_WEIGHT = 1e9
GAP_TOLERANCE = 1e-9  # a duality gap above this is no rounding error
ROUNDING = 1e-12  # relative: the order in which terms are summed must not decide whether a bound is kept


@dataclass(frozen=True)
class Tilt:
    """A sampling distribution: probabilities proportional to exp(-weights . costs / bounds), in steps of elimination.

    `share` is the part of the probes that keeps all bounds.
    """

    weights: NDArray[np.float64]
    steps: list[Step]
    share: float


@dataclass(frozen=True)
class Bounded:
    """The genotypes of `space` that keep all `limits`, as a `Proposer`. Raises `InvalidInput` where there are none.

    A bound that no genotype can keep is refused at once, with the reachable range; one that all genotypes keep is
    dropped. Bounds that are contradictory together are refused when the first genotype is asked for.
    """

    space: SearchSpace
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        limits = []
        for table, bound in self.limits:
            low, high = table.minimum()[0], table.maximum()[0]
            if not bound >= low - ROUNDING * abs(low):
                raise InvalidInput(
                    f"the bound on {table.name} must be at least {low:.6g} for space '{self.space.name}' "
                    f"(reachable {low:.6g} to {high:.6g}), got {bound:.6g}; loosen it"
                )
            if bound < high:
                limits.append((table, bound + ROUNDING * abs(bound)))
        object.__setattr__(self, "limits", tuple(limits))

    # ------------------------------------------------------------------------------------------------- the proposer

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The decisions of the space."""
        return self.space.decisions

    def feasible(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which of the genotypes [N, D] keep every bound, as [N]."""
        return within(self.limits, genotypes)

    def draw(self, rng: np.random.Generator, count: int) -> Genotypes:
        """Return `count` distinct canonical genotypes [N, D] within the bounds, nearly as uniform decisions are.

        Exact for a space of up to 32,768 genotypes, which is enumerated; there fewer rows come only where no more
        exist. In a larger space fewer come where neither samples nor neighbours of samples find more.
        """
        if self._enumerated is not None:
            return self._choose(self._enumerated, np.zeros(len(self._enumerated)), rng, count)
        found, log_weights = self._importance_sample(rng, count)
        if len(_distinct(found)) < count:
            found, log_weights = self._expand(found if len(found) else self.start[None], count)
        return self._choose(found, log_weights, rng, count)

    def repaired(self, genotypes: Genotypes, rng: np.random.Generator) -> Genotypes:
        """Return the genotypes [N, D], canonical, each infeasible one moved inside the bounds with few changes.

        Decisions are replaced in random order by those of a feasible sample until all bounds hold; of several orders
        the one with the fewest replacements counts, and replacements that turn out to be needless are undone.
        """
        result = canonical(self.decisions, genotypes)
        outside = np.flatnonzero(~self.feasible(result))
        if len(outside):
            anchors = self.draw(rng, len(outside))
            anchors = anchors[rng.integers(len(anchors), size=len(outside))]
            result[outside] = canonical(self.decisions, self._relink(result[outside], anchors, rng))
        return result

    def _relink(self, outside: Genotypes, inside: Genotypes, rng: np.random.Generator) -> Genotypes:
        """Return for each pair of rows [N, D] a mixture that keeps the bounds, few decisions of it from `inside`."""
        count, decisions = outside.shape
        # All paths at once, [N, paths, D + 1, D]. Each has a random permutation of the decisions (argsort of argsort
        # ranks them), and at step k those of rank below k are replaced. Step D is the anchor, feasible.
        rank = rng.random((count, PATHS, 1, decisions)).argsort(3).argsort(3)
        replaced = rank < np.arange(decisions + 1)[:, None]
        path = np.where(replaced, inside[:, None, None], outside[:, None, None])
        kept = self.feasible(path.reshape(-1, decisions)).reshape(count, PATHS, decisions + 1)
        kept[:, :, -1] = True
        length = kept.argmax(2)  # the first feasible step of each path
        best = length.argmin(1)  # the shortest path of each pair
        rows = np.arange(count)
        result = path[rows, best, length[rows, best]]
        # Undo each replacement, in random order, where the bounds hold without it.
        for decision in rng.permutation(decisions):
            back = result.copy()
            back[:, decision] = outside[:, decision]
            result = np.where(self.feasible(back)[:, None], back, result)
        return result

    # --------------------------------------------------------------------------------------- samples within the bounds

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(len(decision.options) for decision in self.decisions)

    @cached_property
    def _enumerated(self) -> Genotypes | None:
        """All feasible genotypes of a small space, None of a large one.

        An architecture with inactive decisions has one row per combination of their options, so a uniform choice of
        rows is a uniform choice of every decision, as it is in a large space.
        """
        if prod(self._sizes) > MAX_ENUMERATED:
            return None
        grid = np.stack(np.meshgrid(*map(np.arange, self._sizes), indexing="ij"), -1)
        every = grid.reshape(-1, len(self._sizes)).astype(np.int32)
        kept = every[self.feasible(every)]
        if not len(kept):
            raise InvalidInput(self._infeasible("no architecture keeps {bounds} together (all were tried)"))
        return canonical(self.decisions, kept)

    def ratios(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the costs of genotypes [N, D] over their bounds, as [N, number of limits]; up to 1 is inside."""
        columns = [1 + (table.score(genotypes) - bound) / _scale(bound) for table, bound in self.limits]
        return np.stack(columns, 1) if columns else np.zeros((len(genotypes), 0))

    def _choose(
        self, genotypes: Genotypes, log_weights: NDArray[np.float64], rng: np.random.Generator, count: int
    ) -> Genotypes:
        """Return `count` distinct ones of the genotypes, without replacement and by weight.

        Gumbel top-k: the largest of log-weights with Gumbel noise are such a choice (Kool et al., arXiv 1903.06059).
        """
        order = np.argsort(-(log_weights + rng.gumbel(size=len(genotypes))), kind="stable")
        return genotypes[order[_distinct(genotypes[order])[:count]]]

    def _importance_sample(self, rng: np.random.Generator, count: int) -> tuple[Genotypes, NDArray[np.float64]]:
        """Return feasible samples, repeats included, and the logarithms of their importance weights.

        Samples of the tilt that break a bound are rejected; the weights are the inverse of exp(-weights . ratios).
        """
        if not self.limits:
            found = sample(self.decisions, rng, 2 * count)
            return found, np.zeros(len(found))
        found, size = np.zeros((0, len(self._sizes)), np.int32), max(PROBES, 8 * count)
        for _ in range(SAMPLING_ROUNDS if self._tilt.share > 0 else 1):
            more = canonical(self.decisions, sample_steps(self._tilt.steps, rng, size))
            found = np.concatenate([found, more[self.feasible(more)]])
            if len(_distinct(found)) >= count:
                break
            size *= 4
        return found, self.ratios(found)[:, self._sums] @ self._tilt.weights

    def _expand(self, found: Genotypes, count: int) -> tuple[Genotypes, NDArray[np.float64]]:
        """Return feasible genotypes around `found`, breadth first by changes of one decision, and zero log-weights.

        Ends with `count` of them, or with fewer where this connected region is exhausted.
        """
        kept = found[_distinct(found)]
        at = 0
        while len(kept) < count and at < min(len(kept), MAX_EXPANDED):
            near = canonical(self.decisions, neighbours(self.space, kept[at].tolist()))
            kept = np.concatenate([kept, near[self.feasible(near)]])
            kept = kept[_distinct(kept)]
            at += 1
        return kept, np.zeros(len(kept))

    # ---------------------------------------------------------------------------------------- the tilted distribution

    @cached_property
    def _sums(self) -> list[int]:
        """The limits on sums, which tilting steers; those on maxima are forbidden combinations of options."""
        return [i for i, (table, _) in enumerate(self.limits) if table.combiner == "sum"]

    @cached_property
    def _terms(self) -> tuple[tuple[Term, ...], ...]:
        """Per limit on a sum its terms over the bound; last, of all limits on maxima, 0 where allowed, else infinite.

        A maximum keeps its bound where each of its terms does, so a bound on it is one on every term by itself.
        """
        sums = [
            tuple(Term(term.scope, term.values / _scale(bound)) for term in table.terms)
            for table, bound in (self.limits[i] for i in self._sums)
        ]
        forbidden = [
            Term(term.scope, np.where(term.values <= bound, 0.0, np.inf))
            for table, bound in self.limits
            if table.combiner == "max"
            for term in table.terms
        ]
        return (*sums, tuple(forbidden))

    @cached_property
    def _order(self) -> list[int]:
        return elimination_order([term.scope for terms in self._terms for term in terms], len(self._sizes))

    def _weighted_sum(self, weights: NDArray[np.float64]) -> CostTable:
        """Return weights . ratios as one table, without the constants; infinite where a maximum forbids an option."""
        merged: dict[tuple[int, ...], Any] = {}
        *sums, forbidden = self._terms
        for weight, terms in zip((*weights, 1.0), (*sums, forbidden), strict=True):
            for term in terms:
                merged[term.scope] = merged.get(term.scope, 0.0) + weight * term.values
        return CostTable("combined", "sum", 0.0, tuple(Term(*item) for item in merged.items()), self._sizes)

    def _tilted(self, weights: NDArray[np.float64]) -> tuple[Tilt, Genotypes]:
        """Return the distribution exp(-weights . ratios) and the probes sampled from it."""
        terms = [Term(term.scope, -term.values) for term in self._weighted_sum(weights).terms]
        total, steps = eliminate(terms, self._sizes, self._order)
        if total == -np.inf:  # the sum over all genotypes is zero: each has a forbidden combination of options
            raise InvalidInput(self._infeasible("no architecture keeps {bounds} together (proved by elimination)"))
        probes = sample_steps(steps, np.random.default_rng(len(weights)), PROBES)
        return Tilt(weights, steps, float(self.feasible(probes).mean())), probes

    @cached_property
    def _tilt(self) -> Tilt:
        """The tilt under which most probes are feasible.

        From the uniform distribution on, each Newton step moves the mean of every cost towards half a standard
        deviation inside its bound: there many samples keep the bounds, while the weights, and with them the spread
        of the importance weights, stay small.
        """
        best, probes = self._tilted(np.zeros(len(self._sums)))
        weights = best.weights
        for _ in range(MAX_TILTS):
            if best.share >= ENOUGH_FEASIBLE or not self._sums:
                break
            ratios = self.ratios(probes)[:, self._sums]
            weights = newton_weights(weights, ratios)
            tilt, probes = self._tilted(np.minimum(weights, MAX_WEIGHT))
            best = max(best, tilt, key=lambda one: one.share)
        return best

    # ------------------------------------------------------------------------------ something feasible, or why not

    @cached_property
    def start(self) -> NDArray[np.int32]:
        """A canonical feasible genotype [D]; raises `InvalidInput` with a proof that none exists, or the nearest miss.

        In order of cost: the exact minimum where there is one bound; the samples; a proof by duality that none exists;
        local search. Between proof and search a gap remains, in which neither succeeds.
        """
        if len(self.limits) == 1:
            return canonical(self.decisions, np.array([self.limits[0][0].minimum()[1]]))[0]
        probes = canonical(self.decisions, sample_steps(self._tilt.steps, np.random.default_rng(0), PROBES))
        inside = self.feasible(probes)
        if inside.any():
            return probes[inside.argmax()]
        cuts, gap = self._dual_bound()
        if gap > GAP_TOLERANCE:
            proof = f"(proved by duality: all bounds together would have to grow by {gap:.2%} or more)"
            raise InvalidInput(self._infeasible("no architecture keeps {bounds} together " + proof))
        # Descend from the samples that break the bounds least, and from the last cuts, which are near the bounds too.
        nearest = np.argsort(self._excess(probes), kind="stable")[:DESCENTS]
        ends: list[NDArray[np.int32]] = []
        for begin in (*probes[nearest], *canonical(self.decisions, cuts)[: -DESCENTS - 1 : -1]):
            ends.append(self._descent(begin))
            if self.feasible(ends[-1][None])[0]:
                return ends[-1]
        best = min(ends, key=lambda g: float(self._excess(g[None])[0]))
        over = self.ratios(best[None])[0]
        worst = limit_text(*self.limits[int(over.argmax())])
        miss = f"the nearest takes {over.max() - 1:.2%} {'less' if '>=' in worst else 'more'} than {worst}"
        message = "none found that keeps {bounds} together, nor a proof that there is none: " + miss
        raise InvalidInput(self._infeasible(message, loosen=worst))

    def _excess(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the summed relative amounts by which genotypes [N, D] break the bounds, as [N]."""
        return np.asarray(np.maximum(self.ratios(genotypes) - 1, 0).sum(1))

    def _dual_bound(self) -> tuple[Genotypes, float]:
        """Return the genotypes that bound the dual, and the largest gap: above 0 it proves that nothing is feasible.

        For any weights w >= 0 that sum to 1, a feasible genotype has ratios of at most 1 and so w . ratios <= 1. Let
        gap(w) be the minimum of w . ratios over the whole space, less 1; variable elimination gives it exactly. If it
        is above 0 for some w, nothing is feasible, and all bounds would have to grow by that share or more.

        gap is concave and piecewise linear in w, with one piece per genotype. Kelley's cutting planes maximise it: the
        genotypes found so far bound it from above; take the w that maximises this bound (a linear program), find the
        genotype that is minimal under it (the next cut), and repeat until bound and value meet.
        """
        found = np.array([self.limits[i][0].minimum()[1] for i in self._sums], np.int32)
        gap = -np.inf
        for _ in range(MAX_CUTS):
            ratios = self.ratios(found)[:, self._sums]
            weights, most = matrix_game(ratios - 1)
            cut = np.array([self._weighted_sum(weights).minimum()[1]], np.int32)
            gap = max(gap, float((self.ratios(cut)[0, self._sums] - 1) @ weights))
            found = np.concatenate([found, cut])
            # Proved; or the largest gap is reached and proves nothing; or the cut happens to be feasible itself.
            if gap > GAP_TOLERANCE or most <= gap + GAP_TOLERANCE or self.feasible(cut)[0]:
                break
        return found, gap

    def _descent(self, genotype: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the end of a local search from `genotype` towards the bounds, feasible or a local minimum.

        Steepest descent on the excess: the best change of one decision, or of two at once where one does not help.
        """
        at, excess = genotype, float(self._excess(genotype[None])[0])
        for _ in range(MAX_DESCENT_STEPS):
            if excess <= 0:
                break
            for moves in (1, 2):
                near = neighbours(self.space, at.tolist(), moves)
                excesses = self._excess(near)
                if excesses.min() < excess:
                    break
            else:
                break
            at, excess = near[excesses.argmin()], float(excesses.min())
        return canonical(self.decisions, at[None])[0]

    def _infeasible(self, message: str, loosen: str = "one of them") -> str:
        """Return the text of a refusal: `message` with the names of all bounds, and the remedy."""
        names = " and ".join(limit_text(*limit) for limit in self.limits)
        return f"{message.format(bounds=names)} in space '{self.space.name}'; loosen {loosen}"


def limit_text(table: CostTable, bound: float) -> str:
    """Return a limit such as "latency <= 3"; one on the negative of a cost is a lower bound on that cost."""
    name = table.name
    return f"{name[1:]} >= {-bound:.6g}" if name.startswith("-") else f"{name} <= {bound:.6g}"


def newton_weights(weights: NDArray[np.float64], ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights [M] >= 0 after a Newton step that moves the mean ratios half a deviation below 1.

    `ratios` [N, M] are costs over bounds of samples under the present `weights`. Let Z(w) be the sum of
    exp(-w . ratios) over all genotypes and m the target means. log Z(w) + w . m is convex, its gradient is m
    less the mean ratios under w, and its Hessian is their covariance; so its minimum over w >= 0 has the target means,
    or lower ones with weight 0 where a bound does not bind. The samples give gradient and Hessian.
    """
    # In units of standard deviations, so that costs of any scale count alike; 1e-6 keeps the covariance regular.
    deviations = ratios.std(0) + 1e-9
    covariance = np.cov(ratios / deviations, rowvar=False).reshape(len(weights), -1) + 1e-6 * np.eye(len(weights))
    surplus = (ratios.mean(0) - 1) / deviations + 0.5  # by how much the means are too large
    at = weights * deviations
    # Minimise the quadratic model (w - at) C (w - at) / 2 - (w - at) . surplus over w >= 0. With C = L L' this is
    # non-negative least squares: |L' w - (L' at + inverse(L) surplus)|^2. With one weight it has a closed form.
    if len(weights) == 1:
        optimum = np.maximum(at + surplus / covariance[0], 0)
    else:
        factor = np.linalg.cholesky(covariance)
        optimum = optimize.nnls(factor.T, factor.T @ at + np.linalg.solve(factor, surplus))[0]
    # The quadratic model is local, and its samples are few: limit the step.
    step = optimum - at
    return np.asarray(at + step * min(1, MAX_NEWTON_STEP / max(float(np.linalg.norm(step)), 1e-9))) / deviations


def matrix_game(payoffs: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the weights [M] on the columns of payoffs [N, M] that maximise the minimum over rows, and that minimum.

    The optimal mixed strategy of a zero-sum game, by linear programming: maximise v with payoffs @ weights >= v in
    every row, weights >= 0 that sum to 1.
    """
    rows, columns = payoffs.shape
    answer = optimize.linprog(
        c=np.array([*np.zeros(columns), -1.0]),  # the variables are the weights and v, of which -v is minimised
        A_ub=np.hstack([-payoffs, np.ones((rows, 1))]),
        b_ub=np.zeros(rows),
        A_eq=np.array([[*np.ones(columns), 0.0]]),
        b_eq=np.ones(1),
        bounds=[*[(0, 1)] * columns, (None, None)],
    )
    weights = np.maximum(answer.x[:columns], 0)
    return weights / weights.sum(), float(-answer.fun)


def _scale(bound: float) -> float:
    """Return what an excess over the bound is measured in: the bound itself, or 1 for a bound of 0."""
    return abs(bound) or 1.0


def _distinct(genotypes: Genotypes) -> list[int]:
    """Return the rows of genotypes [N, D] at which each genotype stands first."""
    first: dict[bytes, int] = {}
    for i, key in enumerate(keys(genotypes)):
        first.setdefault(key, i)
    return list(first.values())
