"""The loop around a search algorithm: ask, evaluate on an executor, tell; resumable from its journal.

How many candidates are asked for at once, and how many make a batch, are settings of the run. So the number of workers
cannot change a result: batches are made in the order of asking, and results reach the algorithm in that order.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.progress import Evaluation, Progress, ProgressReporter, report_timing
from nas.progress.stop import raise_if_stopped
from nas.progress.time_left import Begun
from nas.protocols import Evaluator, Executor, Genotype, Genotypes, SearchAlgorithm
from nas.records.journal import Journal, Record

Payload = Any  # a tree of numpy arrays and plain data
Build = Callable[[Payload], Evaluator]  # at module level, so that a worker can import it
OpenExecutor = Callable[[Build, Payload], Executor]
Objectives = Callable[[Genotypes, NDArray[np.float64]], NDArray[np.float64]]  # [N, D], top-1 [N] -> [N, M]


def scores_of(evaluator: Evaluator, genotypes: Genotypes) -> NDArray[np.float64]:
    """Return the accuracies [N] of genotypes [N, D], or [N, 2] with the standard errors that the evaluator knows."""
    scores = getattr(evaluator, "scores", evaluator.accuracy)
    return np.asarray(scores(genotypes), np.float64)


@dataclass(frozen=True)
class InProcessExecutor:
    """The executor of one process: batch after batch, with one evaluator."""

    evaluator: Evaluator

    def evaluate(self, batches: Sequence[Genotypes]) -> Iterator[NDArray[np.float64] | None]:
        """Yield the accuracies [N] of each batch, or [N, 2] with their standard errors."""
        for batch in batches:
            raise_if_stopped()
            yield scores_of(self.evaluator, batch)

    def close(self) -> None:
        """Release nothing."""


def in_process(build: Build, payload: Payload) -> InProcessExecutor:
    """Return the executor of one process."""
    return InProcessExecutor(build(payload))


@dataclass
class Pool:
    """A cache of accuracies by genotype: each is evaluated once, on an executor that is opened when first needed.

    None stands for a genotype whose batch was given up on; it is not tried again. `errors` are the standard errors that
    the evaluator knows.
    """

    open: Callable[[], Executor]
    batch: int
    known: dict[Genotype, float | None] = field(default_factory=dict)
    executor: Executor | None = None
    errors: dict[Genotype, float] = field(default_factory=dict)

    @property
    def workers(self) -> int:
        """How many workers evaluate at the moment; 1 for an executor that does not say."""
        return int(getattr(self.executor, "live_workers", 1))

    def fill(self, genotypes: Genotypes) -> list[Genotypes]:
        """Evaluate what is not known yet of the genotypes [N, D]; return the batches that were given up on."""
        rows = dict.fromkeys(map(tuple, genotypes.tolist()))
        fresh = np.array([row for row in rows if row not in self.known], np.int32)
        if not len(fresh):
            return []
        if self.executor is None:
            self.executor = self.open()
        batches = [fresh[at : at + self.batch] for at in range(0, len(fresh), self.batch)]
        lost = []
        for batch, accuracies in zip(batches, self.executor.evaluate(batches), strict=True):
            own = list(map(tuple, batch.tolist()))
            if accuracies is not None and accuracies.ndim == 2:
                self.errors.update(zip(own, accuracies[:, 1].tolist(), strict=True))
                accuracies = accuracies[:, 0]
            values = [None] * len(batch) if accuracies is None else accuracies.tolist()
            self.known.update(zip(own, values, strict=True))
            lost += [batch] if accuracies is None else []
        return lost

    def record(self, stage: str, asked: Genotypes, whole: Genotypes) -> Record:
        """Return the record of a round for the journal: what was asked for, genotypes `whole` of the evaluator."""
        found: Record = {"stage": stage, "asked": asked.tolist(), "accuracy": self.accuracies(whole)}
        errors = [self.errors.get(row) for row in map(tuple, whole.tolist())]
        return found if all(error is None for error in errors) else found | {"errors": errors}

    def remember(self, record: Record, whole: Genotypes) -> None:
        """Take over the accuracies and errors of a record of the journal."""
        rows = list(map(tuple, whole.tolist()))
        self.known.update(zip(rows, record["accuracy"], strict=True))
        errors = zip(rows, record.get("errors", ()), strict=False)
        self.errors.update((row, error) for row, error in errors if error is not None)

    def errors_of(self, genotypes: Collection[Genotype]) -> dict[Genotype, float] | None:
        """Return the standard errors of genotypes; None where they are those of shares, or not all are known."""
        found = {genotype: self.errors[genotype] for genotype in genotypes if genotype in self.errors}
        return found if found and all(genotype in found for genotype in genotypes) else None

    def why(self) -> str:
        """Return ": " and the error of the last batch that was given up on; "" where the executor keeps none."""
        given_up = getattr(self.executor, "given_up", ())
        return f": {given_up[-1].error}" if given_up else ""

    def accuracies(self, genotypes: Genotypes) -> list[float | None]:
        """Return the accuracy of each of the genotypes [N, D], None where its batch was given up on."""
        return [self.known[row] for row in map(tuple, genotypes.tolist())]

    def close(self) -> None:
        """Close the executor, if it was opened."""
        if self.executor is not None:
            self.executor.close()


@dataclass(frozen=True)
class WarmStart:
    """Results that a search knows before its first trial: genotypes [N, D] of its own space, accuracies [N]."""

    genotypes: Genotypes
    accuracies: NDArray[np.float64]


@dataclass(frozen=True)
class SearchTask:
    """One search over one space: an algorithm, and how its candidates are evaluated and become objectives."""

    name: str  # the stage of its records in the journal
    algorithm: SearchAlgorithm[Any]
    embed: Callable[[Genotypes], Genotypes]  # from the algorithm's genotypes to the evaluator's, canonical
    objectives: Objectives  # of the evaluator's genotypes, all minimised
    trials: int
    ask: int  # candidates asked for at once
    seed: int
    start: WarmStart | None = None
    metric: str = "top1"  # the name of what the accuracies are


@dataclass(frozen=True)
class SearchHistory:
    """All results of a search so far, in order: genotypes [N, D], accuracies [N] and objectives [N, M].

    The genotypes are those of the evaluator's space; `state` is the algorithm's after the last result.
    """

    state: Any
    genotypes: Genotypes
    accuracies: NDArray[np.float64]
    objectives: NDArray[np.float64]

    @property
    def best(self) -> int:
        """The row with the smallest first objective; ties go to the smallest second, and so on, then the earliest."""
        return int(np.lexsort((np.arange(len(self.objectives)), *self.objectives.T[::-1]))[0])


def run(task: SearchTask, pool: Pool, journal: Journal, reporter: ProgressReporter) -> SearchHistory:
    """Do the trials of `task` that the journal does not hold yet, and return the history of all of them.

    The journal gets one record per round: {"stage", "asked": [[int]], "accuracy": [float | null]}, with "errors" where
    the evaluator knows them. A candidate without an accuracy is left out of what the algorithm gets.
    """
    history, done = _replayed(task, journal, pool)
    report_timing(reporter, Begun(task.name, done))
    began, first = time.monotonic(), done
    while done < task.trials:
        raise_if_stopped()
        asked = task.algorithm.ask(history.state, min(task.ask, task.trials - done))
        whole = task.embed(asked)
        for batch in pool.fill(whole):
            reporter.say(f"{task.name}: gave up on a batch of {len(batch)} candidates, which are left out{pool.why()}")
        accuracies = pool.accuracies(whole)
        journal.append(pool.record(task.name, asked, whole))
        for genotype, accuracy in zip(whole.tolist(), accuracies, strict=True):
            reporter.candidate(Evaluation(task.name, tuple(genotype), accuracy))
        history, done = _after_round(task, history, asked, accuracies), done + len(asked)
        rate = (done - first) / max(time.monotonic() - began, 1e-9)
        reporter.progress(_progress(task, history, done, rate, pool.workers))
    return history


def evaluate(name: str, genotype: Genotype, pool: Pool, journal: Journal) -> float:
    """Return the accuracy of one genotype of the evaluator's space, from the journal's records of `name` if there."""
    for record in journal.records:
        if record["stage"] == name and tuple(record["asked"][0]) == genotype:
            pool.remember(record, np.array([genotype], np.int32))
    asked = np.array([genotype], np.int32)
    if genotype not in pool.known:
        pool.fill(asked)
        journal.append(pool.record(name, asked, asked))
    accuracy = pool.known[genotype]
    if accuracy is None:
        raise InvalidInput(f"{name}: the chosen architecture could not be evaluated; search with another --seed")
    return accuracy


def _replayed(task: SearchTask, journal: Journal, pool: Pool) -> tuple[SearchHistory, int]:
    """Return the history in the journal's records of `task` and its number of trials; fills the pool's cache."""
    nothing = np.zeros((0, 0))
    history, done = SearchHistory(_initial_state(task), nothing.astype(np.int32), np.zeros(0), nothing), 0
    for record in journal.records:
        if record["stage"] == task.name:
            asked = _genotypes(record, journal)
            pool.remember(record, task.embed(asked))
            history, done = _after_round(task, history, asked, record["accuracy"]), done + len(asked)
    return history, done


def _initial_state(task: SearchTask) -> Any:
    """Return the algorithm's state before its first trial, after the results that are known at the start.

    The best come last: algorithms that forget drop the oldest first.
    """
    state, start = task.algorithm.init(task.seed), task.start
    if start is None or not len(start.genotypes):
        return state
    objectives = task.objectives(task.embed(start.genotypes), start.accuracies)
    order = np.lexsort(objectives.T[::-1])[::-1]
    return task.algorithm.tell(state, start.genotypes[order], objectives[order])


def _genotypes(record: Record, journal: Journal) -> Genotypes:
    """Return the genotypes [N, D] in a record of the journal; `InvalidInput` where it is none of a round."""
    asked = np.asarray(record["asked"], np.int32)
    if asked.ndim != 2 or len(asked) != len(record["accuracy"]):
        raise InvalidInput(f"{journal.path} has a round of '{record['stage']}' that is none; start a new run")
    return asked


def _after_round(
    task: SearchTask, history: SearchHistory, asked: Genotypes, accuracies: Sequence[float | None]
) -> SearchHistory:
    """Return the history after one more round: candidates with an accuracy go to the algorithm."""
    kept = [i for i, accuracy in enumerate(accuracies) if accuracy is not None]
    kept_genotypes, values = asked[kept], np.array([accuracies[i] for i in kept], np.float64)
    whole = task.embed(kept_genotypes)
    objectives = task.objectives(whole, values)
    return SearchHistory(
        task.algorithm.tell(history.state, kept_genotypes, objectives),
        np.concatenate([history.genotypes.reshape(-1, whole.shape[1]), whole]),
        np.concatenate([history.accuracies, values]),
        np.concatenate([history.objectives.reshape(-1, objectives.shape[1]), objectives]),
    )


def _progress(task: SearchTask, history: SearchHistory, done: int, rate: float, workers: int) -> Progress:
    """Return the event that reports the state of the search; `rate` is in candidates per second."""
    best = float(history.accuracies[history.best]) if len(history.accuracies) else None
    left = (task.trials - done) / rate
    return Progress(
        task.name, done, task.trials, argmax_top1=best, seconds_left=left, per_second=rate, workers=workers,
        metric=task.metric,
    )  # fmt: skip
