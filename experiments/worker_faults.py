"""Study: no result is lost or changed when workers are killed while they evaluate.

    python -m experiments.worker_faults [--kills 10] [--workers 2] [--seed 0]

Batches of 16 candidates are evaluated by Ray workers on a supernet with random weights (space of a few blocks, images
of 16 px), first without faults; then again, once per kill, and each time one worker that is evaluating is killed
(SIGKILL) at a random moment. Is every result there, bit for bit?

Result (4 minutes on 2 cores that other work kept busy):

10 workers killed, 10 losses noticed
80 of 80 batches equal to the undisturbed ones, bit for bit
0 batches given up

A batch whose worker dies three times is given up. A first version of this study killed a worker every one or two
seconds, before new workers had compiled, and lost two of eight batches that way.
"""

import argparse
import os
import random
import signal
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.distributed.executor import RayExecutor
from nas.ops import Shape
from nas.protocols import Evaluator
from search_spaces.uib import uib_space, uib_stage

BATCH = 16
IMAGES = 256
LATEST_S = 0.5  # of a kill, after a result
SPACE = uib_space(
    "small",
    (uib_stage(0, (16, 24), (1, 2)), uib_stage(1, (24, 32), (1, 2, 3))),
    stem=(8, 16), fused=(16,), expansions=(2.0,), features=64, hidden=64,
    input_shape=Shape(16, 16, 3), num_classes=10,
)  # fmt: skip


def supernet(payload: dict[str, Any]) -> Evaluator:
    """Build the evaluator from weights and images."""
    import jax.numpy as jnp
    from flax import nnx

    from nas.supernet.evaluator import SearchImages, SupernetEvaluator
    from nas.supernet.supernet import Supernet

    x, y = jnp.asarray(payload["x"]), jnp.asarray(payload["y"])
    images = SearchImages(x, y, x, y, jnp.zeros(3), jnp.ones(3))
    graph = nnx.graphdef(Supernet(SPACE, np.random.default_rng(0)))
    evaluator = SupernetEvaluator(SPACE, graph, images, 128)
    evaluator.params = payload["params"]
    return evaluator


def payload_of(seed: int) -> dict[str, Any]:
    """Return random weights and images as plain arrays."""
    import jax

    from nas.supernet.supernet import Supernet, parameters

    rng = np.random.default_rng(seed)
    params = jax.tree.map(np.asarray, parameters(Supernet(SPACE, rng)))
    x = rng.integers(0, 256, (IMAGES, 16, 16, 3)).astype(np.uint8)
    return {"params": params, "x": x, "y": rng.integers(0, 10, IMAGES).astype(np.int32)}


def with_a_kill(executor: RayExecutor, batches: Sequence[NDArray[np.int32]], rng: random.Random) -> list[Any]:
    """Return the results of all batches, while one busy worker is killed at a random moment."""
    kill_after, found = rng.randrange(len(batches) - 2 * executor.workers), []
    for number, result in enumerate(executor.evaluate(batches)):
        found.append(result)
        if number == kill_after:
            time.sleep(rng.uniform(0, LATEST_S))
            os.kill(rng.choice(executor.live_pids), signal.SIGKILL)
    return found


def main() -> None:
    """Evaluate twice, kill, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, moments = np.random.default_rng(options.seed), random.Random(options.seed)
    batches = [SPACE.sample(rng, BATCH) for _ in range(4 * options.workers)]
    with RayExecutor(supernet, payload_of(options.seed), workers=options.workers) as executor:
        expected = list(executor.evaluate(batches))
        found = [
            pair
            for _ in range(options.kills)
            for pair in zip(with_a_kill(executor, batches, moments), expected, strict=True)
        ]
        equal = sum(one.tobytes() == other.tobytes() for one, other in found if one is not None and other is not None)
        print(f"{options.kills} workers killed, {executor.lost_workers} losses noticed")
        print(f"{equal} of {len(found)} batches equal to the undisturbed ones, bit for bit")
        print(f"{len(executor.given_up)} batches given up")


if __name__ == "__main__":
    main()
