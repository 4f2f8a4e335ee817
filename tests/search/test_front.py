"""Latency budgets of a front and their answers: laws against a plain loop."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import InvalidInput
from nas.search.front import answers, latency_budgets

LATENCIES = st.floats(0.01, 1e4)


@given(LATENCIES, st.floats(1.001, 1000), st.integers(2, 30))
def test_budgets_rise_evenly_from_end_to_end(low: float, ratio: float, points: int) -> None:
    budgets = latency_budgets(low, low * ratio, points)
    assert len(budgets) == points and (budgets[0], budgets[-1]) == (low, low * ratio)
    np.testing.assert_allclose(np.diff(np.log(budgets)), np.log(ratio) / (points - 1), rtol=1e-6, atol=1e-9)


def test_a_front_has_two_ends() -> None:
    with pytest.raises(InvalidInput, match="at least 2 points, both ends of its range, got 1"):
        latency_budgets(1.0, 2.0, 1)


NETWORKS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 8)), max_size=40)  # latency, accuracy: many are equal


@given(NETWORKS, st.lists(st.integers(0, 25), min_size=1, max_size=9).map(sorted))
def test_an_answer_is_the_most_accurate_within_its_budget_and_the_fastest_of_these(
    networks: list[tuple[int, int]], budgets: list[int]
) -> None:
    latencies, accuracies = np.array(networks, float).reshape(-1, 2).T
    found = answers(latencies, accuracies, [float(budget) for budget in budgets]).tolist()
    for budget, row in zip(budgets, found, strict=True):
        kept = [(-accuracy, latency, i) for i, (latency, accuracy) in enumerate(networks) if latency <= budget]
        assert row == (min(kept)[2] if kept else -1)
    points = [networks[row] for row in found if row >= 0]
    for (latency, accuracy), (slower, better) in itertools.pairwise(points):
        assert (slower, better) == (latency, accuracy) or (slower > latency and better > accuracy)
