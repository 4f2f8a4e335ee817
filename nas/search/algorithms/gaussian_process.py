"""Gaussian-process bandit with expected improvement (Jones et al. 1998), a member of the hybrid of arXiv 2202.05397.

The process is scikit-learn's over one-hot genotypes, so that the squared exponential kernel falls with the number of
decisions that differ. Its length scale is the likeliest of a few. Candidates are samples and mutants of the best; where
several are asked for at once, each later one takes the mean prediction of the earlier ones for their result (kriging
believer, Ginsbourger et al. 2010). The paper does not publish its settings: those here are our own.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from nas.protocols import Genotypes, Proposer
from nas.search.trials import Trials, mutated, no_trials, proposals, with_results

LENGTHS = (0.7, 1.0, 1.5, 2.2, 3.3, 5.0)  # two genotypes that differ in n decisions are sqrt(2 n) apart
NOISE = 1e-3  # variance of the noise of an accuracy, relative to the variance of all


@dataclass(frozen=True)
class GaussianProcess:
    """Bayesian optimisation of the first objective; the process is fitted to the best and the latest trials."""

    proposer: Proposer
    initial: int = 20  # samples before the first fit
    fitted: int = 200  # trials at most: half of them the best, half the latest
    sampled: int = 200  # candidates that are samples of the space
    mutants: int = 200  # candidates that are mutants of the best
    parents: int = 10

    def init(self, seed: int) -> Trials:
        """Return the state before the first tell."""
        return no_trials(seed, self.proposer.decisions)

    def ask(self, state: Trials, count: int) -> Genotypes:
        """Return the `count` candidates with the largest expected improvement, chosen one after the other."""
        rng = state.rng
        if len(state) < self.initial:
            return proposals(self.proposer, state, state.genotypes[:0], count, rng=rng)
        # Candidates: mutants of the best trials, and samples; without those tried before.
        best = np.argsort(state.errors, kind="stable")
        parents = state.genotypes[best[rng.integers(min(self.parents, len(best)), size=self.mutants)]]
        mutants = self.proposer.repaired(mutated(self.proposer.decisions, parents, rng), rng)
        pool = np.concatenate([mutants, self.proposer.draw(rng, self.sampled)])
        pool = proposals(self.proposer, state, pool, max(count, len(pool) // 2), rng=rng)
        # The fit is cubic in the number of trials, so it gets the best ones and the latest ones only.
        kept = np.union1d(best[: self.fitted // 2], np.arange(len(state))[-(self.fitted // 2) :])
        chosen = self._choose(self._one_hot(state.genotypes[kept]), state.errors[kept], self._one_hot(pool), count)
        return pool[chosen]

    def tell(self, state: Trials, genotypes: Genotypes, objectives: NDArray[np.float64]) -> Trials:
        """Return the state with these trials."""
        return with_results(state, genotypes, objectives)

    def _one_hot(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return genotypes [N, D] as [N, total number of options] of zeros and ones."""
        sizes = [len(decision.options) for decision in self.proposer.decisions]
        return np.concatenate([np.eye(size)[genotypes[:, i]] for i, size in enumerate(sizes)], axis=1)

    def _choose(
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
            # Believe the mean for the pick: as it is what was expected, no mean changes; the posterior covariance does.
            column = covariance[:, pick]
            covariance = covariance - np.outer(column, column) / (variance[pick] + NOISE)
        return chosen


def expected_improvement(gap: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of max(0, x) for normal x of mean `gap` and standard deviation `deviation`, elementwise."""
    spread = np.maximum(deviation, 1e-12)
    z = gap / spread
    return np.asarray(gap * ndtr(z) + spread * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))


def _fitted(length: float, known: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, Any]:
    """Return the marginal log-likelihood of a length scale and the process fitted with it, without optimisation."""
    process = GaussianProcessRegressor(RBF(length), alpha=NOISE, optimizer=None).fit(known, values)
    return float(process.log_marginal_likelihood_value_), process
