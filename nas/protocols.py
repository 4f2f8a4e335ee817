"""READ FIRST: the whole system on one screen. Everything else in the project implements one of these interfaces.

    SearchSpace.decode(genotype) --> ArchSpec --+--> kernels --> Cost (MACs, parameters, memory, LatencyModel)
          ^                                     +--> Evaluator.accuracy (weights shared in a supernet)
          | ask                                 +--> Network(arch) + weights --> train, export
    SearchAlgorithm: init, ask, tell <-- objectives <--+

A cost is a function of an `ArchSpec` alone. A search algorithm sees genotypes only; its `init`, `ask` and `tell` are
pure functions of an explicit state, randomness comes from (seed, counter). Files, clocks and processes live outside.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.ops import Kernel

Genotype = tuple[int, ...]  # one option index per decision
Genotypes = NDArray[np.int32]  # a batch of them, [N, D]
Combiner = Literal["sum", "max"]  # how the cost of a network follows from those of its kernels
State = TypeVar("State")


class Place(NamedTuple):
    """Where in a space a decision belongs: a stage, and a block of it, None for the stage as a whole."""

    stage: str
    block: int | None = None

    def __str__(self) -> str:
        return self.stage if self.block is None else f"{self.stage}.block{self.block}"


@dataclass(frozen=True)
class Decision:
    """A categorical choice; with a `condition` (i, k) active only where decision number i takes an option index >= k.

    So the kernel size of a block counts only in networks that are deep enough to have the block. Where it is
    `averaged`, a supernet can warm up by running the average of its options instead of one of them.
    """

    name: str
    options: tuple[Any, ...]
    condition: tuple[int, int] | None = None
    place: Place | None = None
    averaged: bool = False


@dataclass(frozen=True)
class CostTerm:
    """A piece of the network with its kernels, which depend on the decisions numbered in `scope` (ascending) alone."""

    name: str
    scope: tuple[int, ...]
    kernels: Callable[[Genotype], Sequence[Kernel]]  # of a whole genotype; none where the piece is inactive


class SearchSpace(Protocol):
    """A set of architectures. `encode(decode(g))` is `g` in canonical form: inactive decisions at option 0."""

    @property
    def name(self) -> str: ...
    @property
    def decisions(self) -> tuple[Decision, ...]: ...
    @property
    def cost_terms(self) -> tuple[CostTerm, ...]: ...  # together the kernels of `decode(genotype)`
    def decode(self, genotype: Sequence[int]) -> ArchSpec: ...
    def encode(self, arch: ArchSpec) -> Genotype: ...


class Cost(Protocol):
    """A number for an architecture: `constant` combined (+ or max) with `of_kernel` of each of its kernels."""

    @property
    def name(self) -> str: ...
    @property
    def combiner(self) -> Combiner: ...
    @property
    def constant(self) -> float: ...
    def of_kernel(self, kernel: Kernel) -> float: ...


class LatencyModel(Cost, Protocol):
    """A cost in milliseconds for one batch, mostly of one image (for an abstract device: relative to a network)."""

    def predict_ms(self, arch: ArchSpec) -> float: ...


class Evaluator(Protocol):
    """Estimates the accuracy, a fraction of the validation images, of genotypes [N, D] -> [N] without training them.

    One that knows the standard errors of its scores, where these are no shares of the images, has a method `scores`
    too: genotypes [N, D] -> [N, 2], scores and errors.
    """

    def accuracy(self, genotypes: Genotypes) -> NDArray[np.float64]: ...


class Executor(Protocol):
    """Evaluates batches of genotypes in one or more processes, whose number never changes a result.

    Yields the accuracies [N] of each batch, with their standard errors [N, 2] where the evaluator knows them, in the
    order of the batches; None for a batch given up on after failures.
    """

    def evaluate(self, batches: Sequence[Genotypes]) -> Iterator[NDArray[np.float64] | None]: ...
    def close(self) -> None: ...


class Proposer(Protocol):
    """The feasible subset of a space, where a search moves: canonical genotypes that keep every hard bound on costs."""

    @property
    def decisions(self) -> tuple[Decision, ...]: ...
    def feasible(self, genotypes: Genotypes) -> NDArray[np.bool_]: ...
    def draw(self, rng: np.random.Generator, count: int) -> Genotypes: ...  # distinct; fewer only where no more exist
    def repaired(self, genotypes: Genotypes, rng: np.random.Generator) -> Genotypes: ...  # nearby feasible ones


class SearchAlgorithm(Protocol[State]):
    """Proposes genotypes and learns from their objectives [N, M], all minimised (single-objective: the first column).

    The state is an immutable value of numbers and arrays. `ask` depends on it alone, so a run is resumed by replaying
    its journal through `tell`, which gets results in the order in which they were asked for.
    """

    def init(self, seed: int) -> State: ...
    def ask(self, state: State, count: int) -> Genotypes: ...
    def tell(self, state: State, genotypes: Genotypes, objectives: NDArray[np.float64]) -> State: ...
