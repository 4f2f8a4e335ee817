"""Features of architectures that an accuracy model sees: sums over the pieces of a network, tabulated over the space.

Every feature here is a sum of tables over a few decisions each, as a cost is. So thousands of genotypes are described
by lookups, and a prediction that is linear in them is a cost table itself (nas/search/accuracy/table.py).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.ops import Kernel
from nas.protocols import Decision, Genotypes, SearchSpace

Floats = NDArray[np.float64]
OfPiece = Callable[[Sequence[Kernel]], float]  # of the kernels of one piece of a network, which may have none


@dataclass(frozen=True)
class FeatureTerm:
    """The share of one piece in all features: `values` [*options of the decisions in scope, F]."""

    scope: tuple[int, ...]
    values: Floats


@dataclass(frozen=True)
class FeatureTables:
    """Features of the genotypes of a space, each a sum over terms; called with genotypes [N, D] it returns [N, F]."""

    names: tuple[str, ...]
    terms: tuple[FeatureTerm, ...]
    option_counts: tuple[int, ...]  # [D]

    def __call__(self, genotypes: Genotypes) -> Floats:
        """Return the features [N, F] of genotypes [N, D]."""
        total = np.zeros((len(genotypes), len(self.names)))
        for term in self.terms:
            total += term.values[tuple(np.asarray(genotypes)[:, d] for d in term.scope)]
        return total


def _has_depthwise(kernels: Sequence[Kernel]) -> bool:
    return any(kernel.kind == "depthwise" for kernel in kernels)


def _share(kernels: Sequence[Kernel], counts: Callable[[Kernel], bool]) -> float:
    return float(sum(counts(kernel) for kernel in kernels))


SIZES: dict[str, OfPiece] = {  # those that differ between the target network and its proxy
    "macs": lambda kernels: float(sum(kernel.macs for kernel in kernels)),
    "params": lambda kernels: float(sum(kernel.params for kernel in kernels)),
    "activations": lambda kernels: float(sum(kernel.writes for kernel in kernels)),
}
COUNTS: dict[str, OfPiece] = {
    "depthwise": lambda kernels: _share(kernels, lambda kernel: kernel.kind == "depthwise"),
    "depthwise_5x5": lambda kernels: _share(kernels, lambda kernel: kernel.kernel_size == 5),
    "ffn_blocks": lambda kernels: float(_is_residual(kernels) and not _has_depthwise(kernels)),
}


def _is_residual(kernels: Sequence[Kernel]) -> bool:
    return any(kernel.name == "add" for kernel in kernels)


def static_features(space: SearchSpace, proxy: SearchSpace | None = None) -> FeatureTables:
    """Return the static features of the networks of `space`, and the sizes of their proxies where `proxy` is given.

    MACs, parameters and activation elements; numbers of depthwise convolutions, of those of 5x5 and of blocks without
    any; and for every decision that always counts and whose options are numbers, their logarithm: filters, depths.
    """
    parts = [_of_pieces(space, SIZES | COUNTS, "")]
    if proxy is not None:
        parts.append(_of_pieces(proxy, SIZES, "proxy_"))
    parts.append(_of_decisions(space.decisions))
    return joined(parts)


def one_hot(decisions: Sequence[Decision]) -> FeatureTables:
    """Return a feature per option of every decision: 1 where a genotype takes it."""
    counts = tuple(len(decision.options) for decision in decisions)
    starts = np.concatenate([[0], np.cumsum(counts)])
    names = tuple(f"{d.name}={option}" for d in decisions for option in d.options)
    hot = np.eye(len(names))
    terms = tuple(FeatureTerm((d,), hot[starts[d] : starts[d + 1]]) for d in range(len(counts)))
    return FeatureTables(names, terms, counts)


def joined(parts: Sequence[FeatureTables]) -> FeatureTables:
    """Return the features of several tables over one space side by side."""
    total = sum(len(part.names) for part in parts)
    terms: dict[tuple[int, ...], Any] = {}
    at = 0
    for part in parts:
        for term in part.terms:
            wide = np.zeros((*term.values.shape[:-1], total))
            wide[..., at : at + len(part.names)] = term.values
            terms[term.scope] = terms.get(term.scope, 0.0) + wide
        at += len(part.names)
    names = tuple(name for part in parts for name in part.names)
    return FeatureTables(names, tuple(FeatureTerm(*item) for item in terms.items()), parts[0].option_counts)


def _of_pieces(space: SearchSpace, features: dict[str, OfPiece], prefix: str) -> FeatureTables:
    """Return the sums over the pieces of a network: each is lowered once per combination of its own decisions."""
    counts = tuple(len(decision.options) for decision in space.decisions)
    terms: dict[tuple[int, ...], Floats] = {}
    for piece in space.cost_terms:
        shape = tuple(counts[d] for d in piece.scope)
        values = np.zeros((*shape, len(features)))
        for options in product(*map(range, shape)):
            genotype = [0] * len(counts)  # decisions outside the scope do not matter
            for d, option in zip(piece.scope, options, strict=True):
                genotype[d] = option
            kernels = piece.kernels(tuple(genotype))
            values[options] = [of_piece(kernels) for of_piece in features.values()]
        terms[piece.scope] = terms[piece.scope] + values if piece.scope in terms else values
    names = tuple(prefix + name for name in features)
    return FeatureTables(names, tuple(FeatureTerm(*item) for item in terms.items()), counts)


def _of_decisions(decisions: Sequence[Decision]) -> FeatureTables:
    """Return the logarithm of the option taken, of every decision without a condition whose options are numbers."""
    chosen = [d for d, decision in enumerate(decisions) if decision.condition is None and _numeric(decision.options)]
    terms = []
    for column, d in enumerate(chosen):
        values = np.zeros((len(decisions[d].options), len(chosen)))
        values[:, column] = [_size(option) for option in decisions[d].options]
        terms.append(FeatureTerm((d,), values))
    counts = tuple(len(decision.options) for decision in decisions)
    return FeatureTables(tuple(decisions[d].name for d in chosen), tuple(terms), counts)


def _numeric(options: Sequence[Any]) -> bool:
    return all(isinstance(option, (bool, int, float)) for option in options)


def _size(option: float) -> float:
    return math.log(option) if not isinstance(option, bool) and option > 0 else float(option)
