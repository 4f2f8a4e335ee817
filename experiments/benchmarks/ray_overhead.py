"""Benchmark: overhead and scaling of Ray workers, on work that takes no processor time.

    python -m experiments.benchmarks.ray_overhead [--rounds 5] [--candidates 2048]

Each candidate sleeps 1 ms, a batch of 64 so 64 ms and a little more; a processor is needed for the overhead alone.
"over the work": wall time times workers over the time for which the evaluators themselves measured that they slept,
less 1. "scaling": candidates per second with N workers over N times those with one, all with equally many batches per
worker. The last column is processor time of the driver. Workers are started once, those that a round does not use are
idle. Medians over rounds, which alternate.

Results on 2 otherwise idle cores, with the defaults:

workers  candidates/s  over the work  scaling  driver ms/batch
1                 891           2.5%   100.0%             1.88
2               1,760           3.0%    98.8%             1.63
4               3,478           3.2%    97.6%             1.30
8               6,761           4.0%    94.9%             1.23
16             13,012           4.6%    91.3%             1.07

So at most the 5 % that are the goal, and more than 90 % of linear, up to 16 workers. With other work on the machine (a
load of 20 to 40): 7.8 % over the work with one worker, 15.5 % with 16, scaling 87 %. There a batch waits for a
processor, at its start and at its end.
"""

import argparse
import statistics
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.timing import print_table
from nas.distributed.cluster import Cluster
from nas.distributed.executor import RayExecutor
from nas.protocols import Evaluator

SLEEP_S = 0.001
BATCH = 64
WORKERS = (1, 2, 4, 8, 16)


class Sleeper:
    """An evaluator that sleeps for each candidate, and returns how long each sleep took, in seconds."""

    def accuracy(self, genotypes: NDArray[np.int32]) -> NDArray[np.float64]:
        took = []
        for _ in genotypes:
            start = time.perf_counter()
            time.sleep(SLEEP_S)
            took.append(time.perf_counter() - start)
        return np.array(took)


def sleeper(payload: Any) -> Evaluator:
    """Build the evaluator."""
    return Sleeper()


def measured(executor: RayExecutor, candidates: int) -> tuple[float, float]:
    """Return (seconds, seconds that the evaluators slept) of evaluating `candidates` in batches."""
    batches = [np.zeros((BATCH, 20), np.int32)] * (candidates // BATCH)
    start = time.perf_counter()
    slept = sum(float(result.sum()) for result in executor.evaluate(batches) if result is not None)
    return time.perf_counter() - start, slept


def warmed(executor: RayExecutor) -> RayExecutor:
    """Return the executor once all of its workers are at work."""
    while executor.live_workers < executor.workers:
        measured(executor, BATCH * executor.workers)
    return executor


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--candidates", type=int, default=2048, help="per worker and round")
    options = parser.parse_args()
    runs: dict[int, list[tuple[float, float]]] = {workers: [] for workers in WORKERS}
    driver_s: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    with Cluster(sum(WORKERS)):
        executors = {workers: warmed(RayExecutor(sleeper, None, workers=workers)) for workers in WORKERS}
        print(f"{sum(WORKERS)} workers are ready", file=sys.stderr, flush=True)
        for _ in range(options.rounds):
            for workers, executor in executors.items():
                busy = time.process_time()
                runs[workers].append(measured(executor, options.candidates * workers))
                driver_s[workers].append(time.process_time() - busy)
        for executor in executors.values():
            executor.close()
    rates = {
        workers: statistics.median(workers * options.candidates / wall for wall, _ in found)
        for workers, found in runs.items()
    }
    rows = []
    for workers, found in runs.items():
        overhead = statistics.median(workers * wall / slept - 1 for wall, slept in found)
        scaling = rates[workers] / (workers * rates[1])
        driver_ms = 1000 * statistics.median(driver_s[workers]) / (workers * options.candidates / BATCH)
        rows.append([str(workers), f"{rates[workers]:,.0f}", f"{overhead:.1%}", f"{scaling:.1%}", f"{driver_ms:.2f}"])
    print_table(["workers", "candidates/s", "over the work", "scaling", "driver ms/batch"], rows)


if __name__ == "__main__":
    main()
