"""Evaluators for tests of workers: their accuracies are known, and certain genotypes make them fail."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Evaluator
from nas.runs.evaluators import EvaluatorSource

KILL_ONCE, KILL, RAISE, SLEEP, GPU = 90, 91, 92, 93, 94  # a first decision index that triggers an effect


class Weighted:
    """An evaluator whose accuracy is the weighted sum of the decision indices, unless the batch triggers an effect."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self.payload = payload
        self.effects: dict[int, Callable[[], Any]] = {
            KILL_ONCE: self.kill_once,
            KILL: lambda: os.kill(os.getpid(), signal.SIGKILL),
            RAISE: lambda: 1 // 0,
            SLEEP: lambda: time.sleep(60),
        }

    def kill_once(self) -> None:
        """Die in the middle of the batch, the first time."""
        marker = Path(self.payload["folder"], "killed")
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def accuracy(self, genotypes: NDArray[np.int32]) -> NDArray[np.float64]:
        if genotypes[0, 0] == GPU:
            return np.array([float(os.environ["CUDA_VISIBLE_DEVICES"])])
        self.effects.get(int(genotypes[0, 0]), lambda: None)()
        return np.asarray(genotypes @ self.payload["weights"], np.float64)


class Sure(Weighted):
    """The same evaluator, which knows the standard errors of its scores: a tenth of them."""

    def scores(self, genotypes: NDArray[np.int32]) -> NDArray[np.float64]:
        found = self.accuracy(genotypes)
        return np.stack([found, found / 10], 1)


class Rugged:
    """An evaluator whose accuracies rise with the decision indices, with bumps that are larger than the slope.

    They are whole numbers of `RUGGED_IMAGES` images.
    """

    def accuracy(self, genotypes: NDArray[np.int32]) -> NDArray[np.float64]:
        bumps = np.sin(genotypes @ np.arange(3, 3 + genotypes.shape[1]) * 1.7)
        return np.asarray(np.round((0.4 + 0.005 * genotypes.sum(1) + 0.03 * bumps) * RUGGED_IMAGES) / RUGGED_IMAGES)


class Compiled:
    """An evaluator that sums long float32 products by XLA, in an order that depends on the number of threads.

    The first value that it returns is that number.
    """

    def __init__(self, payload: dict[str, Any]) -> None:
        import jax
        import jax.numpy as jnp

        images = jnp.asarray(payload["images"])
        self.score = jax.jit(lambda decision_index: jnp.tanh(images @ (images.T * decision_index)).sum())

    def accuracy(self, genotypes: NDArray[np.int32]) -> NDArray[np.float64]:
        scores = [float(self.score(decision_index)) for decision_index in genotypes[:, 0]]
        return np.array([compute_threads(), *scores])


def compute_threads() -> int:
    """Return how many threads XLA computes with in this process."""
    names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    return names.count("tf_XLAEigen")


def weighted(payload: dict[str, Any]) -> Evaluator:
    """Build the evaluator of known values."""
    return Weighted(payload)


def sure(payload: dict[str, Any]) -> Evaluator:
    """Return the evaluator with standard errors."""
    return Sure(payload)


def rugged(payload: dict[str, Any]) -> Evaluator:
    """Build the evaluator of accuracies with bumps."""
    return Rugged()


RUGGED_IMAGES = 200
RUGGED = EvaluatorSource(rugged, images=lambda plan: RUGGED_IMAGES, how="made up, with bumps")


def compiled(payload: dict[str, Any]) -> Evaluator:
    """Build the evaluator that computes with XLA."""
    return Compiled(payload)


def broken(payload: dict[str, Any]) -> Evaluator:
    """Fail to build."""
    raise RuntimeError(f"no evaluator from {sorted(payload)}")
