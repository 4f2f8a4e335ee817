"""READ FIRST: the whole engine on one screen. Everything else is a member of one of these families.

    SearchSpace.decode(genotype) --> ArchSpec --+--> kernels --> Cost (MACs, params, memory, LatencyModel)
          ^                                     +--> Evaluator.accuracy (the supernet)
          | ask                                 +--> Network(arch) + weights --> train, export
    nas.search: init, ask, tell <-- rewards <---+

A cost is a function of an `ArchSpec` alone. A search algorithm sees genotypes only; its `init`, `ask` and `tell` are
pure functions of explicit state, and randomness comes from (seed, counter). Files, clocks and processes live outside.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.ops import Kernel

Genotype = tuple[int, ...]  # one option index per decision
Genotypes = NDArray[np.int32]  # [N, D]
Combiner = Literal["sum", "max"]  # how the cost of a network follows from those of its kernels
State = TypeVar("State")


@dataclass(frozen=True)
class Decision:
    """One choice of a space. It counts only where decision number `condition[0]` takes an option index >= `condition[1]`."""

    name: str
    options: tuple[Any, ...]
    condition: tuple[int, int] | None = None


@dataclass(frozen=True)
class CostTerm:
    """A piece of the network whose kernels depend on the decisions `decision_indices` only; `kernels` takes a whole genotype."""

    name: str
    decision_indices: tuple[int, ...]
    kernels: Callable[[Genotype], Sequence[Kernel]]


class SearchSpace(Protocol):
    """A set of architectures as pure data. `encode(decode(g))` is `g` with inactive decisions at option 0."""

    @property
    def name(self) -> str: ...
    @property
    def decisions(self) -> tuple[Decision, ...]: ...
    @property
    def parts(self) -> tuple[CostTerm, ...]: ...
    def decode(self, genotype: Sequence[int]) -> ArchSpec: ...
    def encode(self, arch: ArchSpec) -> Genotype: ...


class Cost(Protocol):
    """A number for an architecture, combined from its kernels: `constant` (+ or max) over `of_kernel`."""

    @property
    def name(self) -> str: ...
    @property
    def combiner(self) -> Combiner: ...
    @property
    def constant(self) -> float: ...
    def of_kernel(self, kernel: Kernel) -> float: ...


class LatencyModel(Cost, Protocol):
    """A cost in milliseconds for the target's batch, mostly one image (abstract device: relative to a network)."""

    def predict_ms(self, arch: ArchSpec) -> float: ...


class Evaluator(Protocol):
    """Estimates accuracy, a fraction of validation images, for genotypes [N, D] -> [N], without training each."""

    def accuracy(self, genotypes: NDArray[np.int32]) -> NDArray[np.float64]: ...


class Executor(Protocol):
    """Evaluates batches of genotypes, in this process or in others, whose number never changes what is computed.

    Results come in the order of the batches: the accuracies [N] of each, None for a batch that was given up on.
    """

    def evaluate(self, batches: Sequence[Genotypes]) -> Iterator[NDArray[np.float64] | None]: ...
    def close(self) -> None: ...


class Proposer(Protocol):
    """The part of a space in which a search moves: canonical genotypes that keep every hard bound."""

    @property
    def decisions(self) -> tuple[Decision, ...]: ...
    def feasible(self, genotypes: Genotypes) -> NDArray[np.bool_]: ...
    def draw(self, rng: np.random.Generator, count: int) -> Genotypes: ...  # distinct; fewer only where no more exist
    def repaired(self, genotypes: Genotypes, rng: np.random.Generator) -> Genotypes: ...  # near them, inside


class SearchAlgorithm(Protocol[State]):
    """Proposes genotypes and learns from their objectives [N, M], all minimised; an algorithm of one uses the first.

    The state is a frozen value of numbers and arrays. `ask` is a function of it alone, with randomness from the seed
    and the number of tells so far: a run is resumed by telling it its journal. Results are told in the order asked.
    """

    def init(self, seed: int) -> State: ...
    def ask(self, state: State, count: int) -> Genotypes: ...
    def tell(self, state: State, genotypes: Genotypes, objectives: NDArray[np.float64]) -> State: ...
