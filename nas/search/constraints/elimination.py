"""Exact draws from a product of small tables by eliminating genes (Koller and Friedman 2009, sections 9.3 and 12.1).

A weight of a genotype is the exponential of a sum of terms over few genes each, as a cost table has them. Summing out
one gene after the other gives the sum of all weights; going back through the same steps draws genotypes with chances
proportional to their weights, none in vain.
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
    """One gene eliminated: cumulative chances [combinations of the genes in `rest`, options] of its options."""

    decision_index: int
    rest: tuple[int, ...]
    sizes: tuple[int, ...]
    chances: NDArray[np.float64]


def elimination_order(scopes: Sequence[tuple[int, ...]], decision_indices: int) -> list[int]:
    """Return all genes in the order of elimination: always the one that couples the fewest others."""
    order: list[int] = []
    left, coupled = set(range(decision_indices)), [set(scope) for scope in scopes]
    while left:
        decision_index = min(left, key=lambda g: (len(set().union(*(scope for scope in coupled if g in scope))), g))
        joint = set().union(*(scope for scope in coupled if decision_index in scope)) - {decision_index}
        coupled = [scope for scope in coupled if decision_index not in scope] + [joint]
        left.remove(decision_index)
        order.append(decision_index)
    return order


def eliminate(terms: Sequence[Term], sizes: Sequence[int], order: Sequence[int]) -> tuple[float, list[Step]]:
    """Return the logarithm of the sum of all weights (-inf: no genotype has any), and the steps for `sample`.

    `terms` are logarithms of weights, -inf where a combination of options is forbidden.
    """
    left, steps, total = list(terms), [], 0.0
    for decision_index in order:
        touching = [term for term in left if decision_index in term.decision_indices]
        left = [term for term in left if decision_index not in term.decision_indices]
        rest = tuple(sorted(set().union(*(term.decision_indices for term in touching)) - {decision_index}))
        scope = (*rest, decision_index)
        blank = Term((decision_index,), np.zeros(sizes[decision_index]))
        joint = reduce(np.add, (_over(term, scope) for term in (*touching, blank)))
        highest = joint.max(-1, keepdims=True)
        weights = np.exp(joint - np.where(np.isfinite(highest), highest, 0))
        cumulative = weights.cumsum(-1)
        mass = cumulative[..., -1]
        steps.append(
            Step(
                decision_index, rest, tuple(sizes[g] for g in rest), (cumulative / np.maximum(mass, 1e-300)[..., None])
            )
        )
        with np.errstate(divide="ignore"):
            message = np.log(mass) + np.where(np.isfinite(highest), highest, -np.inf)[..., 0]
        if rest:
            left.append(Term(rest, message))
        else:
            total += float(message)
    return total, steps


def sample(steps: Sequence[Step], rng: np.random.Generator, count: int) -> Genotypes:
    """Return `count` genotypes [count, D], each drawn with the chance that its weight has."""
    result = np.zeros((len(steps), count), np.intp)
    for step in reversed(steps):
        index = np.zeros(count, np.intp)
        for decision_index, size in zip(step.rest, step.sizes, strict=True):
            index = index * size + result[decision_index]
        table = step.chances.reshape(-1, step.chances.shape[-1])
        result[step.decision_index] = (rng.random(count)[:, None] >= table[index, :-1]).sum(1)
    return result.T.astype(np.int32)


def _over(term: Term, scope: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the values with the axes of `scope`, whose last gene need not be its largest."""
    axes = [
        term.decision_indices.index(decision_index)
        for decision_index in scope
        if decision_index in term.decision_indices
    ]
    values = np.transpose(term.values, axes)
    return values[tuple(slice(None) if decision_index in term.decision_indices else None for decision_index in scope)]
