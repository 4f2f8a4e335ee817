"""Search with an accuracy model: train some networks, learn from them which others to train, halve, repeat, answer.

    first rung   `start` networks spread over the feasible set, then batches: 3 of 4 networks by the model, 1 at random
    later rungs  the best by the posterior goes on (synchronous halving), after a refit of the model
    repeats      the last few are trained with further seeds before one is named

Where the interval of the leave-one-out tau contains 0 the model has shown nothing: the batch is drawn at random and
the observed accuracies alone decide, so the search is random search with halving. All first trainings share one seed
(common random numbers). `ask` and `tell` are pure functions of an immutable state; the next batch is decided when the
last result of a batch is told, so results may come in any portions, in the order asked.

The settings were chosen by replays (experiments/ranking_replay.py) on families of synthetic tables and on a public one,
for a low mean regret and no family above random search: the interval at 50 % decides who chooses, the one at 80 %
whether predictions count for the answer; a widely spread start lost where the best networks are of middling size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.protocols import Genotype, Genotypes
from nas.search.accuracy.evidence import Tau, tau_with_interval
from nas.search.accuracy.features import FeatureTables, joined
from nas.search.accuracy.model import RIDGE, AccuracyModel, Prediction
from nas.search.accuracy.posterior import Labels, Posterior, labels_of, posterior
from nas.search.accuracy.ridge import RidgeFit, Standardiser
from nas.search.accuracy.table import compile_prediction
from nas.search.trials import first_new

Floats = NDArray[np.float64]
Features = Callable[[Genotypes], Floats]  # [N, D] -> [N, F]; NaN: not known
Purpose = Literal["start", "model", "chance", "rung", "repeat"]
ENOUGH_FOR_DECISIONS = 12  # labels from which on the model may rest on one-hot decisions instead of the features
ENOUGH_FOR_BOTH = 64  # labels from which on it may rest on both together
POOL = 2048  # feasible genotypes among which the model chooses
START_POOL = 3  # times the size of the start: samples from which it is spread
FEWEST_SPREAD = 6  # a smaller start is random: so few networks far apart would all be extreme


class Training(NamedTuple):
    """Train this network with this seed up to this many epochs; it goes on from where it stands."""

    genotype: Genotype
    seed: int
    epochs: int


class FeasibleSet(Protocol):
    """The genotypes that a search may propose; a `Proposer` (nas/protocols.py) is one.

    It may have a method `best(table: CostTable) -> Genotype | None`, the genotype of the set with the least value in
    the table (nas/search/accuracy/table.py, `best_within`): then the first that the model chooses is the best of the
    whole set by a linear model of tabulated features, not of a sample alone.
    """

    def draw(self, rng: np.random.Generator, count: int) -> Genotypes: ...  # distinct; fewer only where no more exist


@dataclass(frozen=True)
class Schedule:
    """How many networks are trained, how long, and how often again."""

    candidates: int = 24  # networks trained to the first rung
    start: int = 12  # of them before the model is first asked
    batch: int = 3
    rungs: tuple[int, ...] = (1, 3)  # epochs, ascending; the last is the full length
    factor: int = 6  # of the networks of a rung, one in so many goes on
    finalists: int = 3  # networks that are trained again
    repeats: int = 2  # with so many more seeds

    def __post_init__(self) -> None:
        counts = (self.candidates, self.start, self.batch, self.finalists)
        rising = all(a < b for a, b in zip((0, *self.rungs), self.rungs, strict=False))
        if min(counts) < 1 or self.factor < 2 or self.repeats < 0 or not self.rungs or not rising:
            raise InvalidInput(f"a schedule needs positive counts, a factor of 2 and rising rungs, got {self}")

    @property
    def survivors(self) -> tuple[int, ...]:
        """The number of networks in every rung, if none fails."""
        found = [self.candidates]
        for _ in self.rungs[1:]:
            found.append(ceil(found[-1] / self.factor))
        return tuple(found)

    @property
    def epochs(self) -> int:
        """All epochs together, if no training fails."""
        lengths = (b - a for a, b in zip((0, *self.rungs), self.rungs, strict=False))
        repeated = min(self.finalists, self.survivors[-1]) * self.repeats * self.rungs[-1]
        return sum(n * length for n, length in zip(self.survivors, lengths, strict=True)) + repeated


class Result(NamedTuple):
    """A training and its top-1, a fraction; NaN where the training failed."""

    training: Training
    top1: float


@dataclass(frozen=True)
class Round:
    """How a batch was decided: its purpose, its networks and how many the model chose, and the evidence it had."""

    purpose: Purpose
    networks: int
    by_model: int
    tau: Tau | None  # leave-one-out; None before there are any labels
    penalty: float


@dataclass(frozen=True)
class State:
    """All results so far, and the batch being trained, of which `received` trainings have one."""

    seed: int
    results: tuple[Result, ...] = ()
    batch: tuple[Training, ...] = ()
    received: int = 0
    stage: int = 0  # a rung, then the repeats, then the end
    rounds: tuple[Round, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A trained network as the search judges it; accuracies are fractions, at the full length."""

    genotype: Genotype
    mean: float  # of the posterior: what was observed, and what the model predicts where it is trusted
    standard_error: float
    observed: float  # mean over the seeds, at the longest training of each
    seeds: int
    epochs: int


@dataclass(frozen=True)
class Evidence:
    """What the accuracy model has shown in this search: the leave-one-out tau, and how every batch was decided."""

    tau: Tau | None
    trusted: bool
    networks: int
    penalty: float
    noise: float  # standard deviation of one training around its network's accuracy, as estimated
    rounds: tuple[Round, ...] = field(default=())


@dataclass(frozen=True)
class ModelSearch:
    """Multi-fidelity search with an accuracy model over a feasible set."""

    feasible: FeasibleSet
    features: Features
    schedule: Schedule = field(default_factory=Schedule)
    model: AccuracyModel = RIDGE
    decisions: Features | None = None  # one-hot decisions, as features where they predict better
    random_share: float = 0.25  # of a batch that the model chooses
    confidence: float = 0.5  # of the interval of the leave-one-out tau above which the model chooses
    answer_confidence: float = 0.8  # ... and of that above which its predictions count for the answer

    def init(self, seed: int) -> State:
        """Return the state before the first result."""
        if seed < 0:
            raise InvalidInput(f"the seed must be 0 or larger, got {seed}")
        return self._planned(State(seed))

    def ask(self, state: State) -> tuple[Training, ...]:
        """Return the trainings whose results are waited for, () when the search is over."""
        return state.batch[state.received :]

    def tell(self, state: State, trainings: Sequence[Training], top1: Sequence[float]) -> State:
        """Return the state with results in the order asked, all or some of those asked; NaN: the training failed."""
        waiting = self.ask(state)
        if len(top1) != len(trainings) or tuple(trainings) != waiting[: len(trainings)]:
            raise InvalidInput(f"results must come in the order asked, next {waiting[:1]}, got {tuple(trainings)[:1]}")
        fresh = tuple(Result(training, float(value)) for training, value in zip(trainings, top1, strict=True))
        state = replace(state, results=state.results + fresh, received=state.received + len(fresh))
        return state if self.ask(state) or not fresh else self._planned(state)

    def answer(self, state: State) -> Answer:
        """Return the best of the networks trained longest; `InvalidInput` where no training succeeded."""
        return self.ranking(state)[0]

    def ranking(self, state: State) -> tuple[Answer, ...]:
        """Return all networks with an accuracy: those trained longest first, of them those trained most often."""
        found = self._judged(state)
        if found is None:
            raise InvalidInput("no training of the search succeeded; see its messages for the reason")
        labels = found.labels
        order = np.lexsort((-found.posterior.mean, -labels.seeds, -labels.epochs))
        return tuple(found.answer(int(i)) for i in order)

    def predicted(self, state: State) -> dict[Genotype, float]:
        """Return what the model predicts for each network trained, at the full length, from the others alone."""
        found = self._judged(state)
        if found is None:
            return {}
        return dict(zip(found.labels.genotypes, found.prediction.leave_one_out.tolist(), strict=True))

    def evidence(self, state: State) -> Evidence:
        """Return what the accuracy model has shown so far."""
        found = self._judged(state)
        if found is None:
            return Evidence(None, False, 0, float("inf"), float("nan"), state.rounds)
        return Evidence(
            found.tau,
            found.trusted,
            len(found.labels.genotypes),
            found.prediction.penalty,
            found.posterior.noise,
            state.rounds,
        )

    # ------------------------------------------------------------------------------------------------------ decisions

    def _planned(self, state: State) -> State:
        """Return the state with its next batch; an empty one where the search is over."""
        started = _networks(state.results)
        missing = self.schedule.candidates - len(started)
        if state.stage == 0 and missing > 0:
            batch, how = self._first_rung(state, missing)
            if batch:
                return replace(state, batch=batch, received=0, rounds=(*state.rounds, how))
        last = len(self.schedule.rungs)
        while state.stage < last:
            state = replace(state, stage=state.stage + 1)
            batch = self._next_rung(state) if state.stage < last else self._repeats(state)
            if batch:
                how = self._round("rung" if state.stage < last else "repeat", batch, 0, self._judged(state))
                return replace(state, batch=batch, received=0, rounds=(*state.rounds, how))
        return replace(state, batch=(), received=0)

    def _first_rung(self, state: State, missing: int) -> tuple[tuple[Training, ...], Round]:
        """Return the next networks for the first rung, at most `missing`, and how they were chosen."""
        count = min(missing, self.schedule.batch if state.results else self.schedule.start)
        found = self._judged(state) if self.model.informed else None
        seen = {np.asarray(g, np.int32).tobytes() for g in _networks(state.results)}
        by_model = self._by_model(state, found, seen, count) if found and found.trusted else ()
        rest = self._at_random(state, seen, count - len(by_model))
        batch = tuple(Training(g, state.seed, self.schedule.rungs[0]) for g in (*by_model, *rest))
        purpose: Purpose = "model" if by_model else "chance" if state.results else "start"
        return batch, self._round(purpose, batch, len(by_model), found)

    def _by_model(self, state: State, found: "Judged", seen: set[bytes], count: int) -> tuple[Genotype, ...]:
        """Return the genotypes of the highest predictions among feasible ones, fewer than `count`; adds to `seen`."""
        rng = np.random.default_rng([state.seed, len(state.results), 1])
        most = count - self._random_count(state, count)
        pool = self.feasible.draw(rng, POOL)
        mean = found.prediction.predict(found.described(pool))[0]
        ranked = pool[np.argsort(-mean, kind="stable")]
        best = self._best_of_all(found)
        if best is not None:
            ranked = np.concatenate([np.array([best], np.int32), ranked])
        return as_tuples(first_new(ranked, seen, most))

    def _best_of_all(self, found: "Judged") -> Genotype | None:
        """Return the best feasible genotype by the model, None where that cannot be said."""
        best, features, fit = getattr(self.feasible, "best", None), found.described, found.prediction
        if best is None or not isinstance(features, FeatureTables) or not isinstance(fit, RidgeFit):
            return None
        return best(compile_prediction(features, fit)) if np.isfinite(fit.penalty) else None

    def _random_count(self, state: State, count: int) -> int:
        """Return how many of a batch are random: the share, spread evenly over the batches by the count so far."""
        done = len(_networks(state.results))
        return int((done + count) * self.random_share) - int(done * self.random_share)

    def _at_random(self, state: State, seen: set[bytes], count: int) -> tuple[Genotype, ...]:
        """Return `count` new feasible genotypes, the first ones of a search spread over the features."""
        rng = np.random.default_rng([state.seed, len(state.results)])
        if not state.results and self.model.informed and count >= FEWEST_SPREAD:
            pool = self.feasible.draw(rng, START_POOL * count)
            return as_tuples(pool[_spread(self.features(pool), count)])
        return as_tuples(first_new(self.feasible.draw(rng, count + len(seen)), seen, count))

    def _next_rung(self, state: State) -> tuple[Training, ...]:
        """Return the trainings of rung `state.stage`: the best of the rung before, () where all failed."""
        before, epochs = self.schedule.rungs[state.stage - 1 : state.stage + 1]
        kept = self.schedule.survivors[state.stage]
        return tuple(Training(g, state.seed, epochs) for g in self._best(state, before, kept))

    def _repeats(self, state: State) -> tuple[Training, ...]:
        """Return the trainings of the finalists with further seeds."""
        epochs = self.schedule.rungs[-1]
        finalists = self._best(state, epochs, self.schedule.finalists)
        seeds = range(state.seed + 1, state.seed + 1 + self.schedule.repeats)
        return tuple(Training(g, seed, epochs) for seed in seeds for g in finalists)

    def _best(self, state: State, epochs: int, count: int) -> list[Genotype]:
        """Return the best networks by the posterior among those trained to `epochs` without failure."""
        found = self._judged(state)
        if found is None:
            return []
        mean = found.posterior.mean
        reached = [i for i in np.argsort(-mean, kind="stable") if found.labels.epochs[i] >= epochs]
        return [found.labels.genotypes[i] for i in reached[:count]]

    # --------------------------------------------------------------------------------------------------- what is known

    def _descriptions(self, labels: int) -> list[Features]:
        """Return what the model may rest on: the features, and where there are enough labels the decisions, or both."""
        features, decisions = self.features, self.decisions
        if decisions is None or labels < ENOUGH_FOR_DECISIONS or not self.model.informed:
            return [features]
        return [features, decisions] if labels < ENOUGH_FOR_BOTH else [features, decisions, self._both]

    @cached_property
    def _both(self) -> Features:
        """Features and decisions together."""
        features, decisions = self.features, self.decisions
        assert decisions is not None
        if isinstance(features, FeatureTables) and isinstance(decisions, FeatureTables):
            return joined([features, decisions])
        return lambda genotypes: np.concatenate([features(genotypes), decisions(genotypes)], 1)

    def _judged(self, state: State) -> "Judged | None":
        """Return labels, fitted model and posterior of a state, None before any training succeeded.

        Of the descriptions of networks the one with the least leave-one-out error counts.
        """
        labels = labels_of(state.results)
        if not len(labels.genotypes):
            return None
        genotypes, weights = np.array(labels.genotypes, np.int32), labels.seeds.astype(np.float64)
        found = [
            Judged(labels, described, self.model.fit(described(genotypes), labels.top1, weights), self)
            for described in self._descriptions(len(genotypes))
        ]
        return min(found, key=lambda one: one.error)

    def _round(self, purpose: Purpose, batch: Sequence[Training], by_model: int, found: "Judged | None") -> Round:
        networks = len({training.genotype for training in batch})
        tau, penalty = (found.tau, found.prediction.penalty) if found else (None, float("inf"))
        return Round(purpose, networks, by_model, tau, penalty)


@dataclass(frozen=True)
class Judged:
    """The labels of a state, the model fitted to them on some description of the networks, and what follows."""

    labels: Labels
    described: Features
    prediction: Prediction
    search: ModelSearch

    @cached_property
    def error(self) -> float:
        """The leave-one-out error."""
        return float(self.labels.seeds @ np.square(self.prediction.leave_one_out - self.labels.top1))

    @cached_property
    def tau(self) -> Tau:
        """The leave-one-out tau: of the labels with what features add to the mean of the others."""
        return self._tau(self.search.confidence)

    def _tau(self, confidence: float) -> Tau:
        added = self.prediction.leave_one_out - self.prediction.without
        return tau_with_interval(added, self.labels.top1, confidence)

    @property
    def trusted(self) -> bool:
        """Whether the model may choose: it has shown more than chance."""
        return self.search.model.informed and self.tau.positive

    @cached_property
    def posterior(self) -> Posterior:
        """The posterior of all networks; its prior mean is the model's prediction where that is good enough."""
        counts = self.search.model.informed and self._tau(self.search.answer_confidence).positive
        return posterior(self.labels, self.prediction.leave_one_out if counts else None)

    def answer(self, i: int) -> Answer:
        """Return network `i` as an answer."""
        labels = self.labels
        return Answer(
            labels.genotypes[i],
            float(self.posterior.mean[i]),
            float(self.posterior.standard_error[i]),
            float(labels.top1[i]),
            int(labels.seeds[i]),
            int(labels.epochs[i]),
        )


def _networks(results: Sequence[Result]) -> list[Genotype]:
    """Return the distinct genotypes in the order in which they were first trained, failed ones too."""
    return list(dict.fromkeys(result.training.genotype for result in results))


def as_tuples(genotypes: Genotypes) -> tuple[Genotype, ...]:
    """Return genotypes [N, D] as tuples."""
    return tuple(tuple(int(g) for g in row) for row in genotypes)


def _spread(features: Floats, count: int) -> list[int]:
    """Return `count` rows of features [N, F] that lie far from one another: the first, then always the farthest.

    Farthest-first traversal (Gonzalez 1985) in standardised features; of equally far rows the earliest.
    """
    x = Standardiser.of(features, np.ones(len(features)))(features)
    chosen = [0]
    nearest = np.square(x - x[0]).sum(1)
    while len(chosen) < min(count, len(x)):
        nearest[chosen] = -1.0
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(x - x[chosen[-1]]).sum(1))
    return chosen
