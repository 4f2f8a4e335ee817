"""Hard bounds on costs kept by construction: draws and repairs inside them, and proofs that nothing is inside.

A space under bounds is too rare to hit by chance. Draws come from exponential tilting (rare-event sampling; Siegmund
1976, Annals of Statistics 4(4)): genotypes with chances proportional to exp(-weights x costs), drawn exactly by
eliminating genes (nas/search/constraints/elimination.py). Weights that put the mean costs just inside the bounds make a good part
of the draws feasible; picking among these with the inverse chances gives back the law of a uniform draw of every
decision, given the bounds. Bounds on maxima forbid options and are exact. Offspring moves inside along a random path
towards a feasible genotype, which always ends there. What nothing can keep is proved by duality (see `Bounded.start`).
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.protocols import Decision, Genotypes, SearchSpace
from nas.search.constraints.elimination import Step, eliminate, elimination_order
from nas.search.constraints.elimination import sample as sample_steps
from nas.search.constraints.repair import neighbours
from nas.search.trials import keys
from nas.space.cost_table import CostTable, Term, within
from nas.space.genotypes import canonical, sample

Limit = tuple[CostTable, float]  # a cost over the space and its upper bound
LISTED = 1 << 15  # a space of up to so many genotypes is listed instead of drawn from
PROBES = 256  # draws by which weights are judged
GOOD_SHARE = 0.2  # of the probes inside: enough
TILTS = 24  # weights tried at most
PATHS = 4  # random paths tried per genotype that is moved inside
SPREADS = 200  # genotypes whose neighbours are looked at where draws are rare
ROUNDS = 3  # of draws, each four times the last, before draws are called rare
CUTS = 60  # genotypes from which the dual is bounded at most
CLIMBS = 60  # steps of a descent towards the bounds at most
STRIDE = 5.0  # deviations by which a step changes weights at most
DESCENTS = 4  # descents from probes, and from cuts
STEEPEST = 1e9  # weight at most
PROOF = 1e-9  # a gap beyond rounding
ROUNDING = 1e-12  # relative: the order in which terms are summed shall not decide whether a bound is kept


@dataclass(frozen=True)
class Tilt:
    """Chances proportional to exp(-weights . costs / bounds), and the share of probes that kept all bounds."""

    weights: NDArray[np.float64]
    steps: list[Step]
    share: float


@dataclass(frozen=True)
class Bounded:
    """The genotypes of `space` that keep all `limits`: a `Proposer`. Raises `InvalidInput` where there are none.

    A bound below the reach of the space is told with the range, at once; one that all keep is dropped. Several bounds
    that cannot hold together, or under which nothing is found, are told when the first candidate is asked for.
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

        A space of up to 32,768 genotypes is listed: exact, and fewer rows come only where no more exist. In a larger
        one fewer come where so few are inside that neither draws nor neighbours of draws find more.
        """
        if self._listed is not None:
            return self._pick(self._listed, np.zeros(len(self._listed)), rng, count)
        found, log_weights = self._sampled(rng, count)
        if len(_distinct(found)) < count:
            found, log_weights = self._spread(found if len(found) else self.start[None], count)
        return self._pick(found, log_weights, rng, count)

    def repaired(self, genotypes: Genotypes, rng: np.random.Generator) -> Genotypes:
        """Return the genotypes [N, D], canonical, each that breaks a bound moved inside.

        Genes are replaced in random order by those of a draw until all bounds hold; of some orders the shortest wins,
        and of its replacements those go back that the bounds do not need.
        """
        result = canonical(self.decisions, genotypes)
        outside = np.flatnonzero(~self.feasible(result))
        if len(outside):
            anchors = self.draw(rng, len(outside))
            anchors = anchors[rng.integers(len(anchors), size=len(outside))]
            result[outside] = canonical(self.decisions, self._between(result[outside], anchors, rng))
        return result

    def _between(self, outside: Genotypes, inside: Genotypes, rng: np.random.Generator) -> Genotypes:
        """Return for each pair of rows [N, D] a mixture that keeps the bounds, few genes of it from `inside`."""
        count, decision_indices = outside.shape
        place = (
            rng.random((count, PATHS, 1, decision_indices)).argsort(3).argsort(3)
        )  # when each gene is replaced on each path
        replaced = place < np.arange(decision_indices + 1)[:, None]
        path = np.where(replaced, inside[:, None, None], outside[:, None, None])  # [N, paths, D + 1, D]
        kept = self.feasible(path.reshape(-1, decision_indices)).reshape(count, PATHS, decision_indices + 1)
        kept[:, :, -1] = True
        length = kept.argmax(2)
        best = length.argmin(1)
        rows = np.arange(count)
        result = path[rows, best, length[rows, best]]
        for decision_index in rng.permutation(decision_indices):  # what was replaced in vain goes back
            back = result.copy()
            back[:, decision_index] = outside[:, decision_index]
            result = np.where(self.feasible(back)[:, None], back, result)
        return result

    # ---------------------------------------------------------------------------------------------- draws under bounds

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(len(decision.options) for decision in self.decisions)

    @cached_property
    def _listed(self) -> Genotypes | None:
        """All genotypes inside, inactive options counted each, or None where the space is too large to list."""
        if prod(self._sizes) > LISTED:
            return None
        grid = np.stack(np.meshgrid(*map(np.arange, self._sizes), indexing="ij"), -1)
        every = grid.reshape(-1, len(self._sizes)).astype(np.int32)
        kept = every[self.feasible(every)]
        if not len(kept):
            raise InvalidInput(self._refusal("no architecture keeps {bounds} together (all were tried)"))
        return canonical(self.decisions, kept)

    def ratios(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the costs of genotypes [N, D] over their bounds, as [N, number of limits]; up to 1 is inside."""
        columns = [1 + (table.score(genotypes) - bound) / _scale(bound) for table, bound in self.limits]
        return np.stack(columns, 1) if columns else np.zeros((len(genotypes), 0))

    def _pick(
        self, genotypes: Genotypes, log_weights: NDArray[np.float64], rng: np.random.Generator, count: int
    ) -> Genotypes:
        """Return `count` distinct ones of the genotypes, without replacement and by weight (Gumbel top-k)."""
        order = np.argsort(-(log_weights + rng.gumbel(size=len(genotypes))), kind="stable")
        return genotypes[order[_distinct(genotypes[order])[:count]]]

    def _sampled(self, rng: np.random.Generator, count: int) -> tuple[Genotypes, NDArray[np.float64]]:
        """Return draws inside the bounds, repeats included, and the logarithms of their inverse chances."""
        if not self.limits:
            found = sample(self.decisions, rng, 2 * count)
            return found, np.zeros(len(found))
        found, size = np.zeros((0, len(self._sizes)), np.int32), max(PROBES, 8 * count)
        for _ in range(ROUNDS if self._tilt.share > 0 else 1):
            more = canonical(self.decisions, sample_steps(self._tilt.steps, rng, size))
            found = np.concatenate([found, more[self.feasible(more)]])
            if len(_distinct(found)) >= count:
                break
            size *= 4
        return found, self.ratios(found)[:, self._sums] @ self._tilt.weights

    def _spread(self, found: Genotypes, count: int) -> tuple[Genotypes, NDArray[np.float64]]:
        """Return genotypes inside that single changes reach from `found`, until there are `count` of them."""
        kept = found[_distinct(found)]
        at = 0
        while len(kept) < count and at < min(len(kept), SPREADS):
            near = canonical(self.decisions, neighbours(self.space, kept[at].tolist()))
            kept = np.concatenate([kept, near[self.feasible(near)]])
            kept = kept[_distinct(kept)]
            at += 1
        return kept, np.zeros(len(kept))

    # ---------------------------------------------------------------------------------------------- the tilted chances

    @cached_property
    def _sums(self) -> list[int]:
        return [i for i, (table, _) in enumerate(self.limits) if table.combiner == "sum"]

    @cached_property
    def _terms(self) -> tuple[tuple[Term, ...], ...]:
        """Per additive limit its terms over the bound; last those of maxima: 0 where allowed, else infinite."""
        sums = [
            tuple(Term(term.decision_indices, term.values / _scale(bound)) for term in table.terms)
            for table, bound in (self.limits[i] for i in self._sums)
        ]
        forbidden = [
            Term(term.decision_indices, np.where(term.values <= bound, 0.0, np.inf))
            for table, bound in self.limits
            if table.combiner == "max"
            for term in table.terms
        ]
        return (*sums, tuple(forbidden))

    @cached_property
    def _order(self) -> list[int]:
        return elimination_order([term.decision_indices for terms in self._terms for term in terms], len(self._sizes))

    def _combined(self, weights: NDArray[np.float64]) -> CostTable:
        """Return the weighted sum of the additive limits' ratios, but for constants; infinite where maxima forbid."""
        merged: dict[tuple[int, ...], Any] = {}
        *sums, forbidden = self._terms
        for weight, terms in zip((*weights, 1.0), (*sums, forbidden), strict=True):
            for term in terms:
                merged[term.decision_indices] = merged.get(term.decision_indices, 0.0) + weight * term.values
        return CostTable("combined", "sum", 0.0, tuple(Term(*item) for item in merged.items()), self._sizes)

    def _tilt_by(self, weights: NDArray[np.float64]) -> tuple[Tilt, Genotypes]:
        """Return the chances of these weights and the probes drawn from them."""
        terms = [Term(term.decision_indices, -term.values) for term in self._combined(weights).terms]
        total, steps = eliminate(terms, self._sizes, self._order)
        if total == -np.inf:
            raise InvalidInput(self._refusal("no architecture keeps {bounds} together (proved by elimination)"))
        probes = sample_steps(steps, np.random.default_rng(len(weights)), PROBES)
        return Tilt(weights, steps, float(self.feasible(probes).mean())), probes

    @cached_property
    def _tilt(self) -> Tilt:
        """The weights under which most probes keep the bounds; Newton's steps put the mean half a deviation inside."""
        best, probes = self._tilt_by(np.zeros(len(self._sums)))
        weights = best.weights
        for _ in range(TILTS):
            if best.share >= GOOD_SHARE or not self._sums:
                break
            ratios = self.ratios(probes)[:, self._sums]
            weights = newton_weights(weights, ratios)
            tilt, probes = self._tilt_by(np.minimum(weights, STEEPEST))
            best = max(best, tilt, key=lambda one: one.share)
        return best

    # -------------------------------------------------------------------------------- something inside, or why not

    @cached_property
    def start(self) -> NDArray[np.int32]:
        """A canonical genotype [D] inside all bounds; raises `InvalidInput` with a proof or the nearest miss."""
        if len(self.limits) == 1:
            return canonical(self.decisions, np.array([self.limits[0][0].minimum()[1]]))[0]
        probes = canonical(self.decisions, sample_steps(self._tilt.steps, np.random.default_rng(0), PROBES))
        inside = self.feasible(probes)
        if inside.any():
            return probes[inside.argmax()]
        cuts, gap = self._cuts()
        if gap > PROOF:
            proof = f"(proved by duality: all bounds together would have to grow by {gap:.2%} or more)"
            raise InvalidInput(self._refusal("no architecture keeps {bounds} together " + proof))
        nearest = np.argsort(self._excess(probes), kind="stable")[:DESCENTS]
        ends: list[NDArray[np.int32]] = []
        for begin in (*probes[nearest], *canonical(self.decisions, cuts)[: -DESCENTS - 1 : -1]):
            ends.append(self._descent(begin))
            if self.feasible(ends[-1][None])[0]:
                return ends[-1]
        best = min(ends, key=lambda g: float(self._excess(g[None])[0]))
        over = self.ratios(best[None])[0]
        worst = shown(*self.limits[int(over.argmax())])
        miss = f"the nearest takes {over.max() - 1:.2%} {'less' if '>=' in worst else 'more'} than {worst}"
        words = "none found that keeps {bounds} together, nor a proof that there is none: " + miss
        raise InvalidInput(self._refusal(words, loosen=worst))

    def _excess(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the summed relative amounts by which genotypes [N, D] break the bounds, as [N]."""
        return np.asarray(np.maximum(self.ratios(genotypes) - 1, 0).sum(1))

    def _cuts(self) -> tuple[Genotypes, float]:
        """Return genotypes that are cheapest under some weights of the bounds, and the largest gap that these show.

        For weights w >= 0 that sum to 1, the least of sum(w x cost / bound) over the space, exact by elimination, less
        1 is a gap: where it is above 0 no genotype keeps all bounds. Kelley's cutting planes look for the largest gap:
        the weights that are best against all genotypes so far give the next one.
        """
        found = np.array([self.limits[i][0].minimum()[1] for i in self._sums], np.int32)
        gap = -np.inf
        for _ in range(CUTS):
            ratios = self.ratios(found)[:, self._sums]
            weights, most = matrix_game(ratios - 1)
            cut = np.array([self._combined(weights).minimum()[1]], np.int32)
            gap = max(gap, float((self.ratios(cut)[0, self._sums] - 1) @ weights))
            found = np.concatenate([found, cut])
            if gap > PROOF or most <= gap + PROOF or self.feasible(cut)[0]:
                break
        return found, gap

    def _descent(self, genotype: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return where changes of one decision, or of two where one does not help, lead down to the bounds."""
        at, excess = genotype, float(self._excess(genotype[None])[0])
        for _ in range(CLIMBS):
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

    def _refusal(self, words: str, loosen: str = "one of them") -> str:
        names = " and ".join(shown(*limit) for limit in self.limits)
        return f"{words.format(bounds=names)} in space '{self.space.name}'; loosen {loosen}"


def shown(table: CostTable, bound: float) -> str:
    """Return a limit in words; one on the negative of a cost is a lower bound on that cost."""
    name = table.name
    return f"{name[1:]} >= {-bound:.6g}" if name.startswith("-") else f"{name} <= {bound:.6g}"


def newton_weights(weights: NDArray[np.float64], ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights [M] >= 0 after Newton's step towards means half a deviation below 1 in probes [N, M].

    The step minimises the second-order model of log(sum of all weights) + weights x wanted means, a convex function.
    """
    deviations = ratios.std(0) + 1e-9  # the unit of all that follows
    spread = np.cov(ratios / deviations, rowvar=False).reshape(len(weights), -1) + 1e-6 * np.eye(len(weights))
    surplus = (ratios.mean(0) - 1) / deviations + 0.5
    at = weights * deviations
    if len(weights) == 1:
        constraints = np.maximum(at + surplus / spread[0], 0)
    else:
        from scipy.optimize import nnls

        factor = np.linalg.cholesky(spread)
        constraints = nnls(factor.T, factor.T @ at + np.linalg.solve(factor, surplus))[0]
    step = constraints - at
    return np.asarray(at + step * min(1, STRIDE / max(float(np.linalg.norm(step)), 1e-9))) / deviations


def matrix_game(payoffs: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the weights [M] on the columns of payoffs [N, M] that make the least row's mean largest, and that mean."""
    from scipy.optimize import linprog

    rows, columns = payoffs.shape
    answer = linprog(
        c=np.array([*np.zeros(columns), -1.0]),  # the last variable is the least row's mean
        A_ub=np.hstack([-payoffs, np.ones((rows, 1))]),
        b_ub=np.zeros(rows),
        A_eq=np.array([[*np.ones(columns), 0.0]]),
        b_eq=np.ones(1),
        bounds=[*[(0, 1)] * columns, (None, None)],
    )
    weights = np.maximum(answer.x[:columns], 0)
    return weights / weights.sum(), float(-answer.fun)


def _scale(bound: float) -> float:
    """Return what an excess over the bound is measured in: the bound itself but for 0."""
    return abs(bound) or 1.0


def _distinct(genotypes: Genotypes) -> list[int]:
    """Return the rows of genotypes [N, D] at which each genotype stands first."""
    first: dict[bytes, int] = {}
    for i, key in enumerate(keys(genotypes)):
        first.setdefault(key, i)
    return list(first.values())
