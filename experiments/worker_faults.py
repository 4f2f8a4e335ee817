"""Does a search lose anything when its workers are killed in the middle of their batches?

    python -m experiments.worker_faults [--kills 10] [--workers 2] [--seed 0]

Batches of 16 candidates are evaluated by Ray workers on a supernet with random weights (space of a few blocks, pictures
of 16 px), first undisturbed; then again while this script kills, at random moments, a worker that is evaluating
(SIGKILL), until it has done so the given number of times. Asked is whether every result is there, bit for bit.
"""

import argparse
import os
import random
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.ops import Shape
from nas.protocols import Evaluator
from nas.space import StagedSpace, stage
from nas.tune.executor import Accuracies, RayExecutor

BATCH = 16
PICTURES = 256
SPACE = StagedSpace(
    name="small",
    input_shape=Shape(16, 16, 3),
    num_classes=10,
    stem_filters=(8, 16),
    fused_filters=(16,),
    fused_expansions=(2.0,),
    stages=(stage((16, 24), (1, 2)), stage((24, 32), (1, 2, 3))),
    features=64,
    hidden=64,
)


def supernet(payload: dict[str, Any]) -> Evaluator:
    """Build the evaluator from weights and pictures."""
    import jax.numpy as jnp
    from flax import nnx

    from nas.supernet.supernet import Supernet
    from nas.tunas import Pictures, SupernetEvaluator

    x, y = jnp.asarray(payload["x"]), jnp.asarray(payload["y"])
    pictures = Pictures(x, y, x, y, jnp.zeros(3), jnp.ones(3))
    graph = nnx.graphdef(Supernet(SPACE, np.random.default_rng(0)))
    evaluator = SupernetEvaluator(SPACE, graph, pictures, 128)
    evaluator.params = payload["params"]
    return evaluator


def payload_of(seed: int) -> dict[str, Any]:
    """Return random weights and pictures as plain arrays."""
    import jax

    from nas.supernet.supernet import Supernet, parameters

    rng = np.random.default_rng(seed)
    params = jax.tree.map(np.asarray, parameters(Supernet(SPACE, rng)))
    x = rng.integers(0, 256, (PICTURES, 16, 16, 3)).astype(np.uint8)
    return {"params": params, "x": x, "y": rng.integers(0, 10, PICTURES).astype(np.int32)}


class Killer(threading.Thread):
    """Kills a worker that is evaluating, now and then, until it has done so often enough."""

    def __init__(self, executor: RayExecutor, kills: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.executor, self.kills, self.done = executor, kills, 0
        self.random = random.Random(seed)

    def run(self) -> None:
        while self.done < self.kills:
            time.sleep(self.random.uniform(0.5, 3))
            pids = self.executor.live_pids
            with suppress(ProcessLookupError):  # killed before, and not yet noticed
                if pids:
                    os.kill(self.random.choice(pids), signal.SIGKILL)
                    self.done += 1


def results(executor: RayExecutor, batches: list[NDArray[np.int32]]) -> list[Accuracies | None]:
    """Return what the executor gives for all batches."""
    return list(executor.evaluate(batches))


def main() -> None:
    """Evaluate twice, kill, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    batches = [SPACE.sample(rng, BATCH) for _ in range(8)]
    with RayExecutor(supernet, payload_of(options.seed), workers=options.workers) as executor:
        wanted = results(executor, batches)
        killer = Killer(executor, options.kills, options.seed)
        killer.start()
        rounds = equal = 0
        while killer.is_alive():
            found = results(executor, batches)
            equal += sum(np.array_equal(*pair) for pair in zip(found, wanted, strict=True) if pair[0] is not None)
            rounds += 1
        killer.join()
        print(f"{killer.done} workers killed while {rounds} x {len(batches)} batches were evaluated")
        print(f"{executor.lost_workers} losses noticed, {len(executor.given_up)} batches given up")
        print(f"{equal} of {rounds * len(batches)} batches equal to the undisturbed ones, bit for bit")


if __name__ == "__main__":
    main()
