"""Kendall's tau equals scipy's, its interval covers the truth; the noise ceiling is what a perfect predictor shows."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from nas.search.accuracy.evidence import expected_ceiling, kendall_tau, tau_in_bands, tau_with_interval


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-9, 9), min_size=2, max_size=20, unique=True), st.integers(0, 99))
def test_tau_is_scipys(values: list[float], seed: int) -> None:
    others = np.random.default_rng(seed).permutation(len(values))
    np.testing.assert_allclose(kendall_tau(values, others), kendalltau(values, others).statistic, atol=1e-12)


def test_the_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    for correlation, count in ((0.0, 12), (0.6, 12), (0.6, 40)):
        true = 2 / np.pi * np.arcsin(correlation)
        covered = 0
        for _ in range(300):
            a = rng.standard_normal(count)
            b = correlation * a + np.sqrt(1 - correlation**2) * rng.standard_normal(count)
            tau = tau_with_interval(a, b, 0.9)
            covered += tau.low <= true <= tau.high
        assert covered >= 0.86 * 300


def test_few_networks_prove_nothing() -> None:
    assert not tau_with_interval([1, 2, 3], [1, 2, 3]).positive
    assert tau_with_interval(range(12), range(12)).positive


def test_tau_in_bands_counts_pairs_within_bands_alone() -> None:
    a, b = np.array([1.0, 2, 11, 12]), np.array([2.0, 1, 12, 11])
    assert tau_in_bands(a, b, [np.array([0, 1]), np.array([2, 3])]) == -1
    assert np.isnan(tau_in_bands(a, b, [np.array([0])]))


def test_the_noise_ceiling_is_the_tau_of_a_perfect_predictor() -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(400)
    labels = truth[:, None] + 0.8 * rng.standard_normal((400, 2))
    assert abs(expected_ceiling(labels) - kendall_tau(truth, labels.mean(1))) < 0.04
    assert np.isnan(expected_ceiling(labels[:, :1]))
