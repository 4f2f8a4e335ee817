"""Synchronous successive halving (arXiv 1502.07943; factor 3 as in Hyperband, arXiv 1603.06560, section 2.3).

All trials run to the first rung, the best third of them to the next, and so on to the full length. A rung is decided
when every trial of it has reported its score, so the result depends on the scores alone, never on which came first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from nas.errors import InvalidInput

FACTOR = 3
FAILED = float("-inf")  # the score of a trial that could not be run: last in its rung


@dataclass(frozen=True)
class Placement:
    """The end of a trial: the number of epochs at which it stopped, and its score there."""

    trial: str
    epochs: int
    score: float


@dataclass(frozen=True)
class State:
    """The state of a run: the current rung, the trials in it in the order of their entry, and those that stopped."""

    rungs: tuple[int, ...]  # epochs, ascending; the last is the full length
    rung: int
    trials: tuple[str, ...]
    factor: int = FACTOR
    left: tuple[Placement, ...] = ()  # those that stopped, the best first
    scores: Mapping[str, float] = field(default_factory=dict)  # reported in the current rung

    @property
    def done(self) -> bool:
        """Whether the last rung is decided: `left` then ranks all trials."""
        return self.rung == len(self.rungs)


def rungs(epochs: int, trials: int, factor: int = FACTOR) -> tuple[int, ...]:
    """Return the epochs of the rungs for so many `trials`, `epochs` last: so many that `factor` or fewer reach it."""
    if epochs < 1 or trials < 1 or factor < 2:
        raise InvalidInput(
            f"halving needs at least 1 epoch, 1 trial and a factor of 2, got {epochs}, {trials} and {factor}"
        )
    found, left, length = [epochs], trials, float(epochs)
    while left > factor and length / factor >= 1:
        left, length = -(-left // factor), length / factor
        found.append(max(1, round(length)))
    return tuple(sorted(set(found)))


def alive(trials: int, steps: Sequence[int], factor: int = FACTOR) -> tuple[int, ...]:
    """Return how many of `trials` are run in each rung of `steps`, if none fails."""
    found = [trials]
    for _ in steps[1:]:
        found.append(-(-found[-1] // factor))
    return tuple(found)


def epochs(trials: int, steps: Sequence[int], factor: int = FACTOR) -> int:
    """Return the total number of epochs that `trials` are trained for over the rungs `steps`, if none fails."""
    lengths = (step - before for before, step in zip((0, *steps), steps, strict=False))
    return sum(count * length for count, length in zip(alive(trials, steps, factor), lengths, strict=True))


def init(trials: tuple[str, ...], steps: tuple[int, ...], factor: int = FACTOR) -> State:
    """Return the state before the first rung of `steps` (epochs, ascending)."""
    if not trials or len(set(trials)) < len(trials):
        raise InvalidInput(f"halving needs different trials, at least one, got {list(trials)}")
    if not steps or any(b <= a for a, b in zip((0, *steps), steps, strict=False)):
        raise InvalidInput(f"rungs must be ascending numbers of epochs from 1 on, got {list(steps)}")
    return State(tuple(steps), 0, tuple(trials), factor)


def ask(state: State) -> tuple[int, tuple[str, ...]]:
    """Return the epoch to run to and the trials of the rung that have no score yet; (0, ()) when all is done."""
    if state.done:
        return 0, ()
    return state.rungs[state.rung], tuple(trial for trial in state.trials if trial not in state.scores)


def tell(state: State, trial: str, score: float) -> State:
    """Return the state with the score of one trial at the current rung; the last score of a rung decides it.

    Of n trials the best ceil(n / factor) go on, of equal ones those that entered first, failed ones never. Scores are
    maximised.
    """
    if trial not in ask(state)[1]:
        raise InvalidInput(f"the trial {trial} is not waited for in rung {state.rung}")
    scores = {**state.scores, trial: score}
    if len(scores) < len(state.trials):
        return replace(state, scores=scores)
    ranked = sorted(state.trials, key=lambda name: -scores[name])  # a stable sort
    last = state.rung == len(state.rungs) - 1
    kept = () if last else tuple(name for name in ranked[: -(-len(ranked) // state.factor)] if scores[name] > FAILED)
    leaving = tuple(Placement(name, state.rungs[state.rung], scores[name]) for name in ranked if name not in kept)
    # Where all trials of a rung failed nothing goes on, and all is done.
    rung, going = state.rung + 1 if kept else len(state.rungs), tuple(name for name in state.trials if name in kept)
    return replace(state, rung=rung, trials=going, left=leaving + state.left, scores={})


def ranks(places: tuple[Placement, ...]) -> dict[str, int]:
    """Return the rank of each trial from 1 on: longer runs first, then higher scores; equal ones share a rank."""
    ordered = sorted(places, key=lambda place: (-place.epochs, -place.score))
    found: dict[str, int] = {}
    for _, group in groupby(ordered, key=lambda place: (place.epochs, place.score)):
        rank = len(found) + 1
        found |= {place.trial: rank for place in group}
    return found
