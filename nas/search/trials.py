"""What all search algorithms share: `Trials`, the results so far as an immutable state, its JSON form, proposals."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.protocols import Decision, Genotypes, Proposer
from nas.space.genotypes import canonical, keys


@dataclass(frozen=True)
class Trials:
    """The state of a search: genotypes [N, D] and objectives [N, M] in order; seed and counter of its randomness."""

    seed: int
    counter: int  # calls of `tell` so far
    genotypes: Genotypes
    objectives: NDArray[np.float64]

    @property
    def rng(self) -> np.random.Generator:
        """A new random generator that depends on the seed and the counter alone."""
        return np.random.default_rng([self.seed, self.counter])

    @property
    def errors(self) -> NDArray[np.float64]:
        """The first objective [N]."""
        return self.objectives[:, 0]

    def __len__(self) -> int:
        return len(self.genotypes)


S = TypeVar("S", bound=Trials)


def no_trials(seed: int, decisions: Sequence[Decision]) -> Trials:
    """Return the state without any trials."""
    if seed < 0:
        raise InvalidInput(f"the seed must be 0 or larger, got {seed}")
    return Trials(seed, 0, np.zeros((0, len(decisions)), np.int32), np.zeros((0, 1)))


def with_results(state: S, genotypes: Genotypes, objectives: NDArray[np.float64]) -> S:
    """Return `state` with more trials; objectives are [N, M] and finite, M the same at every tell."""
    values = np.asarray(objectives, np.float64)
    width = state.objectives.shape[1] if len(state) else values.shape[-1]
    if values.shape != (len(genotypes), width) or not np.isfinite(values).all():
        raise InvalidInput(
            f"objectives must be finite and [{len(genotypes)}, {width}], got {list(values.shape)}; "
            "give a failed evaluation a large number"
        )
    return replace(
        state,
        counter=state.counter + 1,
        genotypes=np.concatenate([state.genotypes, np.asarray(genotypes, np.int32)]),
        objectives=np.concatenate([state.objectives.reshape(len(state), width), values]),
    )


def first_new(candidates: Genotypes, seen: set[bytes], count: int) -> Genotypes:
    """Return the first `count` of the candidates [N, D] that are neither `seen` nor repeats; adds them to `seen`."""
    kept: list[int] = []
    for i, key in enumerate(keys(candidates)):
        if len(kept) == count:
            break
        if key not in seen:
            seen.add(key)
            kept.append(i)
    return candidates[kept]


def proposals(
    proposer: Proposer, trials: Trials, candidates: Genotypes, count: int, *, rng: np.random.Generator
) -> Genotypes:
    """Return `count` proposals [count, D]: the first new candidates, then new samples; repeats where none is left.

    New means not tried so far. `candidates` are canonical and keep the bounds.
    """
    seen = set(keys(trials.genotypes))
    chosen = first_new(candidates, seen, count)
    # A few samples are mostly enough. Where all of them were tried, little of the space is left: as many more as there
    # were trials find what is new, if anything is.
    for reserve in (0, len(trials)):
        missing = count - len(chosen)
        if missing:
            fresh = proposer.draw(rng, 2 * missing + len(chosen) + reserve)
            chosen = np.concatenate([chosen, first_new(fresh, seen, missing)])
    missing = count - len(chosen)
    if missing:
        known = np.concatenate([chosen, trials.genotypes])
        chosen = np.concatenate([chosen, known[rng.integers(len(known), size=missing)]])
    return chosen


def mutated(decisions: Sequence[Decision], genotypes: Genotypes, rng: np.random.Generator) -> Genotypes:
    """Return mutants of genotypes [N, D]: one active decision each is set to another option, both chosen uniformly."""
    sizes = np.array([len(decision.options) for decision in decisions])
    active = np.ones(genotypes.shape, bool)
    for i, decision in enumerate(decisions):
        if decision.condition:
            active[:, i] = genotypes[:, decision.condition[0]] >= decision.condition[1]
    chosen = np.where(active, rng.random(genotypes.shape), -1.0).argmax(1)  # uniform over the active decisions
    rows = np.arange(len(genotypes))
    shift = rng.integers(1, sizes[chosen])  # by 1 or more, modulo the number of options: never the same option
    changed = genotypes.copy()
    changed[rows, chosen] = (changed[rows, chosen] + shift) % sizes[chosen]
    return canonical(decisions, changed)


# ------------------------------------------------------------------------------------------------------- states as JSON


def to_json(state: Any) -> Any:
    """Return the JSON form of a state: dataclasses of numbers, arrays and tuples of states become dicts and lists."""
    if is_dataclass(state):
        return {field.name: to_json(getattr(state, field.name)) for field in fields(state)}
    if isinstance(state, tuple):
        return [to_json(member) for member in state]
    if isinstance(state, np.ndarray):
        return {"dtype": str(state.dtype), "shape": list(state.shape), "values": state.ravel().tolist()}
    return state


def from_json(like: Any, data: Any) -> Any:
    """Return the state that `to_json` turned into `data`; `like` is any state of its algorithm, `init(0)` say."""
    try:
        if is_dataclass(like):
            named = {f.name: from_json(getattr(like, f.name), data[f.name]) for f in fields(like)}
            return replace(like, **named)  # type: ignore[type-var]
        if isinstance(like, tuple):
            return tuple(from_json(*pair) for pair in zip(like, data, strict=True))
        if isinstance(like, np.ndarray):
            return np.array(data["values"], like.dtype).reshape(data["shape"])
        return type(like)(data)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"this is no stored state of the algorithm: {error!r}") from error
