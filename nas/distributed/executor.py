"""The executor on Ray: actors that each hold an evaluator, such as the supernet, and evaluate batches of candidates.

A batch goes to one worker whole. A worker that dies is replaced and its batch tried again; a batch that fails several
times is given up and reported. Which worker evaluates a batch, and how many there are, never changes a result: batches
are made by the caller, and results come back in the order of the batches.

How it works: `evaluate` alternates between `_dispatch`, which fills the workers with batches, and `_collect`, which
waits for one call to end. A worker is a `_WorkerHandle` with the calls that it was given, in order; the batches of one
`evaluate` are a `_BatchQueue`.
"""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import ray
from numpy.typing import NDArray
from ray.exceptions import RayError, RayTaskError

from nas.distributed.cluster import Cluster, last_line, store_bytes
from nas.errors import InvalidInput
from nas.progress.stop import raise_if_stopped
from nas.registry import Names, state_all, stated
from nas.search.loop import scores_of

ATTEMPTS = 3  # at a batch, before it is given up
AHEAD = 4  # batches per worker that may be started beyond the one whose result is yielded next
START_TIMEOUT_S = 300.0  # within which one worker at least must have built its evaluator
Build = Callable[[Any], Any]
Answer = Callable[[Any, NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class GivenUp:
    """A batch that was given up: its number, its size, and why, in one line."""

    batch: int  # counted over all batches that the executor ever got
    candidates: int
    error: str


class _EvaluatorActor:
    """The actor of a worker: what runs in its process."""

    def __init__(self) -> None:
        self.evaluator: Any = None

    def build(self, build: Build, payload: Any, names: Names) -> int:
        """Build the evaluator, once, and return the process id; `names` is the code that the search names."""
        state_all(names)
        self.evaluator = build(payload)
        return os.getpid()

    def answer(self, of: Answer, batch: NDArray[Any]) -> NDArray[Any]:
        """Return what `of` makes of the evaluator and a batch."""
        assert self.evaluator is not None
        return of(self.evaluator, batch)


@dataclass
class _BatchQueue:
    """The batches of one call of `evaluate`, by their index: which wait, which failed, and results not yet yielded."""

    batches: Sequence[NDArray[Any]]
    first: int  # number of the first batch among all that the executor ever got
    waiting: deque[int] = field(default_factory=deque)
    failures: Counter[int] = field(default_factory=Counter)
    results: dict[int, NDArray[Any] | None] = field(default_factory=dict)
    suspects: set[int] = field(default_factory=set)  # were two on a worker that died; each is tried again alone
    turn: int = 0  # the batch whose result is yielded next

    def __post_init__(self) -> None:
        self.waiting.extend(range(len(self.batches)))


@dataclass(frozen=True)
class _RemoteCall:
    """A call sent to a worker: to evaluate a batch of `queue`, or, where that is None, to build its evaluator."""

    future: Any
    queue: _BatchQueue | None = None
    number: int = -1


@dataclass
class _WorkerHandle:
    """One worker of the executor; when its process dies, it gets another actor."""

    actor: Any = None
    pid: int | None = None  # of its process, once the evaluator is built: then the worker is ready
    calls: deque[_RemoteCall] = field(default_factory=deque)  # not yet ended, in order


class RayExecutor:
    """Evaluates batches on `workers` Ray actors; a context manager. `build(payload)` makes the evaluator of each.

    `build` is a function at the top of a module, so that a worker can import it. The payload, arrays and plain data,
    goes into Ray's object store once, and workers see its arrays read-only without a copy. A worker computes with
    `threads` threads and its share of the GPUs. `answer` is what a worker does with its evaluator and a batch: by
    default it scores genotypes; parts of a data set are made by the same workers.
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
        answer: Answer = scores_of,
    ) -> None:
        """Start the workers, on this machine or on the cluster at `address`; they build while this returns."""
        if attempts < 1:
            raise InvalidInput(f"a batch needs at least 1 attempt, got {attempts}")
        self.given_up: list[GivenUp] = []
        self.lost_workers = 0
        self._attempts, self._build_failures, self._batches = attempts, 0, 0
        self._running: dict[Any, _WorkerHandle] = {}  # the worker of every call that has not ended, by its future
        self._handles: list[_WorkerHandle] = []
        self._build, self._answer, self._started = build, answer, time.monotonic()
        self._cluster = Cluster(workers, address=address, threads=threads, payload_bytes=store_bytes(payload))
        try:
            self._payload: Any = ray.put(payload)
            self._handles = [_WorkerHandle() for _ in range(workers)]
            for worker in self._handles:
                self._start_worker(worker)
        except BaseException:
            self.close()
            raise

    @property
    def workers(self) -> int:
        """The number of workers that there should be."""
        return self._cluster.workers

    @property
    def live_pids(self) -> tuple[int, ...]:
        """The process ids of the workers that are ready or at work."""
        return tuple(worker.pid for worker in self._handles if worker.pid is not None)

    @property
    def live_workers(self) -> int:
        """The number of workers that are ready or at work; the others are starting."""
        return len(self.live_pids)

    def evaluate(self, batches: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any] | None]:
        """Yield the answer to each batch in order, None for one that was given up (see `given_up`).

        By default these are the accuracies [N] of genotypes [N, D], or [N, 2] with their standard errors.

        `InvalidInput` where the workers cannot build their evaluator, or none of them starts.
        """
        queue = _BatchQueue(batches, self._batches)
        self._batches += len(batches)
        while queue.turn < len(batches):
            raise_if_stopped()
            self._dispatch(queue)
            if queue.turn in queue.results:
                queue.turn += 1
                yield queue.results.pop(queue.turn - 1)
            else:
                self._collect()

    def close(self) -> None:
        """End the workers, and the cluster where it was started here. May be called again."""
        for worker in self._handles:
            if worker.actor is not None:
                ray.kill(worker.actor)
        self._handles, self._running = [], {}
        self._payload = None
        self._cluster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------------- workers

    def _start_worker(self, worker: _WorkerHandle) -> None:
        """Give `worker` a new actor, which builds its evaluator at once."""
        actor: Any = ray.remote(_EvaluatorActor).options(**self._cluster.options(), max_restarts=0).remote()
        worker.actor, worker.pid = actor, None
        self._add_call(worker, _RemoteCall(actor.build.remote(self._build, self._payload, stated())))

    def _add_call(self, worker: _WorkerHandle, call: _RemoteCall) -> None:
        """Note a call that has been sent to `worker`."""
        worker.calls.append(call)
        self._running[call.future] = worker

    def _dispatch(self, queue: _BatchQueue) -> None:
        """Send waiting batches to the workers that have room for them.

        Every worker gets one batch. While many wait, it gets a second one too, so that it does not wait until
        the result of the first has come back here; near the end it does not, so that no worker runs out of work beside
        one with two batches. No batch is started far ahead of the one whose result is yielded next: a consumer that
        stops early has wasted little. A suspect is alone on its worker: if that dies again, the batch has failed.
        """
        last = queue.turn + AHEAD * self.workers
        for depth, kept_waiting in ((1, 0), (2, self.workers)):
            for worker in self._handles:
                if len(queue.waiting) <= kept_waiting or queue.waiting[0] >= last:
                    break
                numbers = (queue.waiting[0], *(call.number for call in worker.calls))
                alone = any(number in queue.suspects for number in numbers)
                if worker.pid is not None and len(worker.calls) < (1 if alone else depth):
                    number = queue.waiting.popleft()
                    future = worker.actor.answer.remote(self._answer, queue.batches[number])
                    self._add_call(worker, _RemoteCall(future, queue, number))

    def _collect(self) -> None:
        """Wait until a call ends, for a second at most, and take in its result."""
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=1.0)
        for future in done:
            worker = self._running[future]
            while future in self._running:  # a worker does its calls in order: those before it have ended too
                self._take_result(worker)
        if not done and self.live_workers == 0 and time.monotonic() - self._started > START_TIMEOUT_S:
            raise InvalidInput(
                f"no worker was ready within {START_TIMEOUT_S:.0f} s; see whether the cluster has free "
                f"processors for {self.workers} workers: {ray.available_resources()}"
            )

    def _take_result(self, worker: _WorkerHandle) -> None:
        """Take in the result of the first call of `worker`, or its failure."""
        call = worker.calls.popleft()
        del self._running[call.future]
        try:
            value = ray.get(call.future)
        except RayTaskError as error:  # an exception in the evaluator; the worker lives on
            self._on_failure(call, last_line(error))
        except RayError as error:  # its process is gone
            self._on_lost_worker(worker, call, f"the worker died: {str(error).splitlines()[0]}")
        else:
            if call.queue is None:
                worker.pid, self._build_failures = value, 0
            else:
                call.queue.results[call.number] = value
        if worker.pid is None:  # it died, or could not build its evaluator
            self._start_worker(worker)

    def _on_lost_worker(self, worker: _WorkerHandle, call: _RemoteCall, error: str) -> None:
        """Take back the batches of a worker that died.

        A batch that it had alone has failed. Of two batches, it cannot be known which one killed it: the result of the
        first may have been on its way when the second did. So neither counts as failed; both become suspects, and
        each is tried again alone.
        """
        self.lost_workers += 1
        ray.kill(worker.actor)
        worker.pid, self._started = None, time.monotonic()
        if not worker.calls:
            self._on_failure(call, error)
            return
        for each in (*reversed(worker.calls), call):  # each goes to the front of the queue, so the first one is last
            self._running.pop(each.future, None)
            if each.queue is not None:
                each.queue.suspects.add(each.number)
                each.queue.waiting.appendleft(each.number)
        worker.calls.clear()

    def _on_failure(self, call: _RemoteCall, error: str) -> None:
        """Count a failure: after `attempts` of them a batch is given up, and building an evaluator raises."""
        queue, number = call.queue, call.number
        if queue is None:
            self._build_failures += 1
            if self._build_failures >= self._attempts:
                raise InvalidInput(f"the workers cannot build their evaluator: {error}")
            return
        queue.failures[number] += 1
        if queue.failures[number] < self._attempts:
            queue.waiting.appendleft(number)
        else:
            queue.results[number] = None
            self.given_up.append(GivenUp(queue.first + number, len(queue.batches[number]), error))
