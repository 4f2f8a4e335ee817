"""Exact sampling from a product of small tables by variable elimination (Koller and Friedman 2009, sections 9.3, 12.1).

The log-weight of a genotype is a sum of terms over a few decisions each, as a cost table has them. `eliminate` sums out
one decision after the other, which gives the sum of all weights (the partition function) and, per decision, the
distribution of its options given the decisions that are eliminated later. `sample` goes through these in reverse: every
sample has exactly the probability of its weight, with no rejection and no Markov chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes
from nas.space.cost_table import Term


@dataclass(frozen=True)
class Step:
    """One eliminated decision: its conditional distribution given the decisions in `rest`.

    `chances` [*sizes of rest, options] holds cumulative probabilities over the options, the last of them 1.
    """

    decision: int
    rest: tuple[int, ...]
    sizes: tuple[int, ...]  # numbers of options of the decisions in `rest`
    chances: NDArray[np.float64]


def elimination_order(scopes: Sequence[tuple[int, ...]], decisions: int) -> list[int]:
    """Return all decision indices in the order of elimination: always the one that is coupled to the fewest others.

    Eliminating a decision joins all terms that mention it, at a cost exponential in the number of decisions involved.
    The best order is NP-hard to find; this is the usual min-degree heuristic, ties broken by index.
    """
    order: list[int] = []
    left, coupled = set(range(decisions)), [set(scope) for scope in scopes]
    while left:
        chosen = min(left, key=lambda d: (len(set().union(*(scope for scope in coupled if d in scope))), d))
        joint = set().union(*(scope for scope in coupled if chosen in scope)) - {chosen}
        coupled = [scope for scope in coupled if chosen not in scope] + [joint]  # the message couples the others
        left.remove(chosen)
        order.append(chosen)
    return order


def eliminate(terms: Sequence[Term], sizes: Sequence[int], order: Sequence[int]) -> tuple[float, list[Step]]:
    """Return the logarithm of the sum of all weights (-inf: no genotype has any), and the steps for `sample`.

    `terms` are logarithms of weights, -inf where a combination of options is forbidden; `sizes` [D] the numbers of
    options.
    """
    left, steps, total = list(terms), [], 0.0
    for decision in order:
        # Join: add up all terms that mention the decision, over the union of their scopes, the decision's axis last.
        touching = [term for term in left if decision in term.scope]
        left = [term for term in left if decision not in term.scope]
        rest = tuple(sorted(set().union(*(term.scope for term in touching)) - {decision}))
        scope = (*rest, decision)
        blank = Term((decision,), np.zeros(sizes[decision]))  # so that a decision in no term is uniform
        joint = reduce(np.add, (over(term, scope) for term in (*touching, blank)))
        # Log-sum-exp over the options: the maximum is taken out first, against overflow. Where every option is
        # forbidden the maximum is -inf; 0 takes its place, all weights are 0 and the message is -inf.
        highest = joint.max(-1, keepdims=True)
        weights = np.exp(joint - np.where(np.isfinite(highest), highest, 0))
        cumulative = weights.cumsum(-1)
        mass = cumulative[..., -1]
        chances = cumulative / np.maximum(mass, 1e-300)[..., None]
        steps.append(Step(decision, rest, tuple(sizes[d] for d in rest), chances))
        with np.errstate(divide="ignore"):
            message = np.log(mass) + np.where(np.isfinite(highest), highest, -np.inf)[..., 0]
        # What the decision contributes in all its options is a new term over the rest, or a factor of the total.
        if rest:
            left.append(Term(rest, message))
        else:
            total += float(message)
    return total, steps


def sample(steps: Sequence[Step], rng: np.random.Generator, count: int) -> Genotypes:
    """Return `count` genotypes [count, D], each with the probability of its weight."""
    result = np.zeros((len(steps), count), np.intp)
    for step in reversed(steps):  # in reverse, so that the decisions in `rest` have their options already
        row = np.zeros(count, np.intp)  # of the flattened table of conditional distributions
        for decision, size in zip(step.rest, step.sizes, strict=True):
            row = row * size + result[decision]
        table = step.chances.reshape(-1, step.chances.shape[-1])
        # Inverse transform sampling: the option is the number of cumulative probabilities that the uniform reaches.
        result[step.decision] = (rng.random(count)[:, None] >= table[row, :-1]).sum(1)
    return result.T.astype(np.int32)


def over(term: Term, scope: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the values with one axis per decision of `scope`, in its order, of length 1 where they do not vary.

    Unlike `Term.over` this also permutes axes: the last decision of `scope` need not be its largest.
    """
    values = np.transpose(term.values, [term.scope.index(d) for d in scope if d in term.scope])
    return values[tuple(slice(None) if d in term.scope else None for d in scope)]
