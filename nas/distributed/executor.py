"""Batches of candidates evaluated by Ray actors, each of which holds the supernet: an `Executor` that survives workers.

A batch goes to one worker whole. A worker that dies is replaced and its batch tried again; a batch that fails several
times is given up and reported. Which worker evaluates a batch, and how many there are, never shows in a result.
"""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayError, RayTaskError

from nas.distributed.cluster import Cluster, last_line, store_bytes
from nas.errors import InvalidInput
from nas.protocols import Evaluator, Genotypes

ATTEMPTS = 3  # of a batch, before it is given up
AHEAD = 4  # batches per worker that may be started beyond the one whose result comes next
PATIENCE_S = 300.0  # until the first worker must have built its evaluator
Accuracies = NDArray[np.float64]  # [N]
Build = Callable[[Any], Evaluator]


@dataclass(frozen=True)
class GivenUp:
    """A batch left out: its number, counted over all batches of the executor, its size, and why, in one line."""

    batch: int
    candidates: int
    error: str


class _Worker:
    """What runs in the process of a worker."""

    def __init__(self) -> None:
        self.evaluator: Evaluator | None = None

    def build(self, build: Build, payload: Any) -> int:
        """Build the evaluator, once, and return the process id."""
        self.evaluator = build(payload)
        return os.getpid()

    def accuracy(self, genotypes: Genotypes) -> Accuracies:
        """Return the accuracies [N] of genotypes [N, D]."""
        assert self.evaluator is not None
        return np.asarray(self.evaluator.accuracy(genotypes), np.float64)


@dataclass
class _Job:
    """The batches of one call: which wait, which failed how often, and the results that wait for their turn."""

    batches: Sequence[Genotypes]
    first: int  # number of its first batch
    waiting: deque[int] = field(default_factory=deque)
    failures: Counter[int] = field(default_factory=Counter)
    results: dict[int, Accuracies | None] = field(default_factory=dict)
    suspects: set[int] = field(default_factory=set)  # were on a worker that died, and are tried again alone
    turn: int = 0  # the batch whose result comes next

    def __post_init__(self) -> None:
        self.waiting.extend(range(len(self.batches)))


@dataclass(frozen=True)
class _Call:
    """Work that a worker was given: a batch of a job, or, without a job, to build its evaluator."""

    future: Any
    job: _Job | None = None
    number: int = -1


@dataclass
class _Slot:
    """The place of one worker: the actor in it, its process id once its evaluator is built, its calls in order."""

    actor: Any = None
    pid: int | None = None
    calls: deque[_Call] = field(default_factory=deque)


class RayExecutor:
    """Evaluates batches on `workers` actors; a context manager. `build(payload)` makes the evaluator of each.

    `build` is a function of a module. The payload, arrays and plain data, goes into the object store once, and workers
    see its arrays read-only without a copy. A worker computes with `threads` threads and its share of the GPUs.
    """

    def __init__(
        self,
        build: Build,
        payload: Any,
        *,
        workers: int,
        address: str | None = None,
        threads: int = 1,
        attempts: int = ATTEMPTS,
    ) -> None:
        """Start the workers, on this machine or on the cluster at `address`; they build while this returns."""
        if attempts < 1:
            raise InvalidInput(f"a batch needs at least 1 attempt, got {attempts}")
        self.given_up: list[GivenUp] = []
        self.lost_workers = 0
        self._attempts, self._build_failures, self._batches = attempts, 0, 0
        self._running: dict[Any, _Slot] = {}  # by future
        self._slots: list[_Slot] = []
        self._build, self._started = build, time.monotonic()
        self._cluster = Cluster(workers, address=address, threads=threads, payload_bytes=store_bytes(payload))
        try:
            self._payload: Any = ray.put(payload)
            self._slots = [_Slot() for _ in range(workers)]
            for slot in self._slots:
                self._fill(slot)
        except BaseException:
            self.close()
            raise

    @property
    def workers(self) -> int:
        """How many workers there should be."""
        return self._cluster.workers

    @property
    def live_pids(self) -> tuple[int, ...]:
        """The process ids of the workers that are ready or at work."""
        return tuple(slot.pid for slot in self._slots if slot.pid is not None)

    @property
    def live_workers(self) -> int:
        """How many workers are ready or at work; the others are starting."""
        return len(self.live_pids)

    def evaluate(self, batches: Sequence[Genotypes]) -> Iterator[Accuracies | None]:
        """Yield the accuracies [N] of each batch [N, D] in order, None for one that was given up (see `given_up`).

        `InvalidInput` where the workers cannot build their evaluator, or none of them starts.
        """
        job = _Job(batches, self._batches)
        self._batches += len(batches)
        while job.turn < len(batches):
            self._hand_out(job)
            if job.turn in job.results:
                job.turn += 1
                yield job.results.pop(job.turn - 1)
            else:
                self._collect()

    def close(self) -> None:
        """End the workers, and the cluster where it was started here. May be called again."""
        for slot in self._slots:
            if slot.actor is not None:
                ray.kill(slot.actor)
        self._slots, self._running = [], {}
        self._payload = None
        self._cluster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------------- workers

    def _fill(self, slot: _Slot) -> None:
        """Put a new actor into `slot`; it builds its evaluator at once."""
        actor: Any = ray.remote(_Worker).options(**self._cluster.options(), max_restarts=0).remote()
        slot.actor, slot.pid = actor, None
        self._called(slot, _Call(actor.build.remote(self._build, self._payload)))

    def _called(self, slot: _Slot, call: _Call) -> None:
        slot.calls.append(call)
        self._running[call.future] = slot

    def _hand_out(self, job: _Job) -> None:
        """Give every worker a batch, and while there are many a second one, which waits there for the first to end.

        None goes far ahead of the result that comes next. A suspect is alone on its worker.
        """
        last = job.turn + AHEAD * self.workers
        for depth, kept in ((1, 0), (2, self.workers)):
            for slot in self._slots:
                if len(job.waiting) <= kept or job.waiting[0] >= last:
                    break
                alone = job.waiting[0] in job.suspects or any(call.number in job.suspects for call in slot.calls)
                if slot.pid is not None and len(slot.calls) < (1 if alone else depth):
                    number = job.waiting.popleft()
                    self._called(slot, _Call(slot.actor.accuracy.remote(job.batches[number]), job, number))

    def _collect(self) -> None:
        """Wait until a worker has something to tell, and take it in."""
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=1.0)
        for future in done:
            slot = self._running[future]
            while future in self._running:  # a worker does its calls in order: those before are done too
                self._take(slot)
        if not done and self.live_workers == 0 and time.monotonic() - self._started > PATIENCE_S:
            raise InvalidInput(
                f"no worker was ready within {PATIENCE_S:.0f} s; see whether the cluster has free "
                f"processors for {self.workers} workers: {ray.available_resources()}"
            )

    def _take(self, slot: _Slot) -> None:
        """Take in the result of the first call of a worker, or its failure."""
        call = slot.calls.popleft()
        del self._running[call.future]
        try:
            value = ray.get(call.future)
        except RayTaskError as error:  # raised in the worker, which lives on
            self._failed(call, last_line(error))
        except RayError as error:
            self._lost(slot, call, f"the worker died: {str(error).splitlines()[0]}")
        else:
            if call.job is None:
                slot.pid, self._build_failures = value, 0
            else:
                call.job.results[call.number] = value
        if slot.pid is None:
            self._fill(slot)

    def _lost(self, slot: _Slot, call: _Call, error: str) -> None:
        """Take back what the dead worker had: a batch that it had alone has failed, of two each is tried again alone.

        Which of two to blame cannot be told: the result of the first may have been on its way when the second killed.
        """
        self.lost_workers += 1
        ray.kill(slot.actor)
        slot.pid, self._started = None, time.monotonic()
        if not slot.calls:
            self._failed(call, error)
            return
        for each in (*reversed(slot.calls), call):
            self._running.pop(each.future, None)
            if each.job is not None:
                each.job.suspects.add(each.number)
                each.job.waiting.appendleft(each.number)
        slot.calls.clear()

    def _failed(self, call: _Call, error: str) -> None:
        """Count a failure against the batch, which is given up after too many, or against building."""
        job, number = call.job, call.number
        if job is None:
            self._build_failures += 1
            if self._build_failures >= self._attempts:
                raise InvalidInput(f"the workers cannot build their evaluator: {error}")
            return
        job.failures[number] += 1
        if job.failures[number] < self._attempts:
            job.waiting.appendleft(number)
        else:
            job.results[number] = None
            self.given_up.append(GivenUp(job.first + number, len(job.batches[number]), error))
