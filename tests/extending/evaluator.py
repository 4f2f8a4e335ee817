"""An evaluator: an accuracy that grows with the logarithm of the MACs; yours may ask a table, a proxy or a server."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes
from nas.registry import SPACES, load
from nas.runs.evaluators import EvaluatorSource
from nas.space.staged import StagedSpace


@dataclass(frozen=True)
class LogMacs:
    """Gives genotypes [N, D] of `space` an accuracy [N]."""

    space: StagedSpace

    def accuracy(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the accuracies, fractions."""
        macs = np.array([self.space.decode(genotype).macs for genotype in genotypes.tolist()])
        return np.asarray(1 - 1 / (1 + np.log10(macs)))


def build(payload: dict[str, Any]) -> LogMacs:
    """Return the evaluator; every worker imports this function and calls it with the run's payload."""
    published: StagedSpace = load("space", SPACES, payload["space"])
    return LogMacs(published.with_input(*payload["target_input"]))


LOG_MACS = EvaluatorSource(build, images=lambda plan: 1000, how="logarithm of the MACs, no image seen")
