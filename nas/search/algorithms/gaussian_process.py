"""Gaussian-process bandit with expected improvement (Jones et al. 1998), a member of the hybrid of arXiv 2202.05397.

The process is scikit-learn's over one-hot genotypes, so that the squared exponential kernel falls with the number of
decisions that differ. Its length is the likeliest of a few. Candidates are draws and mutants of the best; of several
asked at once, each later one takes the mean at the earlier ones for their result (kriging believer, Ginsbourger et al.
2010). The paper does not publish its settings: those here are our own.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes, Proposer
from nas.search.trials import Trials, mutated, no_trials, proposals, with_results

LENGTHS = (0.7, 1.0, 1.5, 2.2, 3.3, 5.0)  # two genotypes that differ in n decisions are sqrt(2 n) apart
NOISE = 1e-3  # of the variance: what accuracies of one network differ by


@dataclass(frozen=True)
class GaussianProcess:
    """Minimises the first objective; the process is fitted to the best and the latest trials."""

    proposer: Proposer
    initial: int = 20  # draws before the first fit
    fitted: int = 200  # trials at most: half of them the best, half the latest
    sampled: int = 200  # candidates drawn
    mutants: int = 200  # candidates that are mutants of the best
    parents: int = 10

    def init(self, seed: int) -> Trials:
        """Return the state before the first tell."""
        return no_trials(seed, self.proposer.decisions)

    def ask(self, state: Trials, count: int) -> Genotypes:
        """Return the `count` candidates from which most improvement is expected, one after the other."""
        rng = state.rng
        if len(state) < self.initial:
            return proposals(self.proposer, state, state.genotypes[:0], count, rng=rng)
        best = np.argsort(state.errors, kind="stable")
        parents = state.genotypes[best[rng.integers(min(self.parents, len(best)), size=self.mutants)]]
        mutants = self.proposer.repaired(mutated(self.proposer.decisions, parents, rng), rng)
        pool = np.concatenate([mutants, self.proposer.draw(rng, self.sampled)])
        pool = proposals(self.proposer, state, pool, max(count, len(pool) // 2), rng=rng)
        kept = np.union1d(best[: self.fitted // 2], np.arange(len(state))[-(self.fitted // 2) :])
        chosen = self._chosen(self._one_hot(state.genotypes[kept]), state.errors[kept], self._one_hot(pool), count)
        return pool[chosen]

    def tell(self, state: Trials, genotypes: Genotypes, objectives: NDArray[np.float64]) -> Trials:
        """Return the state with these trials."""
        return with_results(state, genotypes, objectives)

    def _one_hot(self, genotypes: Genotypes) -> NDArray[np.float64]:
        sizes = [len(decision.options) for decision in self.proposer.decisions]
        return np.concatenate([np.eye(size)[genotypes[:, i]] for i, size in enumerate(sizes)], axis=1)

    def _chosen(
        self, known: NDArray[np.float64], errors: NDArray[np.float64], pool: NDArray[np.float64], count: int
    ) -> list[int]:
        """Return the rows of `pool` in the order in which expected improvement picks them."""
        values = (errors - errors.mean()) / (errors.std() or 1.0)
        process = max((_fitted(length, known, values) for length in LENGTHS), key=lambda fit: fit[0])[1]
        mean, covariance = process.predict(pool, return_cov=True)
        lowest = values.min()
        chosen: list[int] = []
        for _ in range(count):
            variance = np.maximum(covariance.diagonal(), 0)
            gain = expected_improvement(lowest - mean, np.sqrt(variance))
            gain[chosen] = -np.inf
            pick = int(gain.argmax())
            chosen.append(pick)
            lowest = min(lowest, mean[pick])
            column = covariance[:, pick]  # the mean stays: what is believed is the mean
            covariance = covariance - np.outer(column, column) / (variance[pick] + NOISE)
        return chosen


def expected_improvement(gap: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of max(0, x) for normal x with mean `gap` and this `deviation`, elementwise."""
    from scipy.special import ndtr

    spread = np.maximum(deviation, 1e-12)
    z = gap / spread
    return np.asarray(gap * ndtr(z) + spread * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))


def _fitted(length: float, known: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, Any]:
    """Return the log-likelihood of this length and the process fitted with it; nothing is optimised in the fit."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    process = GaussianProcessRegressor(RBF(length), alpha=NOISE, optimizer=None).fit(known, values)
    return float(process.log_marginal_likelihood_value_), process
