"""Choosing the best of noisy scores."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nas.records.results import standard_error
from nas.search.selection import (
    at_chance,
    few_images_note,
    luck,
    most_luck,
    paired_difference,
    picks,
    unpaired_difference,
    worst_difference_error,
)


@pytest.mark.parametrize("images", [1, 2, 58, 199])
def test_few_images_are_said(images: int) -> None:
    note = few_images_note(images)
    assert note and note.startswith(f"{images:,} validation image") and "too few to rank networks" in note


@pytest.mark.parametrize("images", [200, 256, 10_000])
def test_enough_images_are_not_remarked_on(images: int) -> None:
    assert few_images_note(images) is None


def test_the_error_of_a_difference_bounds_what_chance_does() -> None:
    rng = np.random.default_rng(0)
    for share in (0.5, 0.9):
        scores = rng.binomial(64, share, size=(2, 20_000)) / 64
        assert (scores[0] - scores[1]).std() <= 1.02 * worst_difference_error(64)


# ------------------------------------------------------------------------------------------- differences on the images


@given(arrays(np.bool_, st.tuples(st.just(2), st.integers(1, 60))))
def test_a_paired_difference_is_that_of_the_accuracies_and_never_certain(hits: NDArray[np.bool_]) -> None:
    one, other = hits
    difference, error = paired_difference(one, other)
    assert difference == pytest.approx(one.mean() - other.mean())
    assert error > 0
    assert paired_difference(other, one) == pytest.approx((-difference, error))


def test_the_paired_error_is_how_far_differences_scatter() -> None:
    """Two networks that agree on most images: their difference is known better than either accuracy."""
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(2000):
        hard = rng.random(200) < 0.2
        one, other = (~hard ^ (rng.random(200) < share) for share in (0.02, 0.06))
        draws.append((one.mean() - other.mean(), paired_difference(one, other)[1]))
    differences, errors = np.array(draws).T
    assert errors.mean() == pytest.approx(differences.std(), rel=0.06)
    assert errors.mean() < unpaired_difference(150, 150, 200, (0.03, 0.03))[1]


# ------------------------------------------------------------------------------------------------ the luck of a choice


def simulated(rng: np.random.Generator, spread: float) -> tuple[float, float]:
    """Return the estimated and the true luck of the best of 48 networks on 128 images, `spread` in log odds."""
    skill, ease = 1 + spread * rng.standard_normal((48, 1)), rng.standard_normal((1, 128))
    right = rng.random((48, 128)) < 1 / (1 + np.exp(-skill - ease))
    true = (1 / (1 + np.exp(-skill - np.random.default_rng(0).standard_normal((1, 4000))))).mean(1)
    best = int(right.sum(1).argmax())
    return luck(right), float(right[best].mean() - true[best])


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
def test_the_luck_of_a_choice_is_estimated_without_bias(spread: float) -> None:
    """All alike, differences of the size of the noise, and clear ones."""
    rng = np.random.default_rng(1)
    estimated, true = np.array([simulated(rng, spread) for _ in range(50)]).T
    error = np.hypot(estimated.std(), true.std()) / 50**0.5
    assert abs(estimated.mean() - true.mean()) < max(3 * error, 0.01)
    assert estimated.mean() > 0


def test_luck_is_more_with_more_candidates_and_less_with_more_images() -> None:
    rng = np.random.default_rng(0)
    hits = rng.random((64, 512)) < 0.8
    assert luck(hits[:4]) < luck(hits) and luck(hits) < luck(hits[:, :64])


def test_there_is_no_luck_without_a_choice() -> None:
    rng = np.random.default_rng(0)
    one = rng.random(64) < 0.7
    assert luck(one[None]) == 0 == luck(np.ones((5, 64), bool)) == luck(np.tile(one[:1], (3, 1)))
    assert luck(np.tile(one, (4, 1))) == pytest.approx(0, abs=0.01)  # equal networks: nothing was chosen


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.1])
def test_where_only_totals_are_known_the_luck_is_bounded(spread: float) -> None:
    """Independent noise, the worst case: in the mean the bound is no less than what the best flatters by."""
    rng, flattery, bounds = np.random.default_rng(0), [], []
    for _ in range(200):
        true = np.clip(0.7 + spread * rng.standard_normal(64), 0, 1)
        scores = rng.binomial(256, true) / 256
        flattery.append(scores.max() - true[scores.argmax()])
        bounds.append(most_luck(scores, standard_error(float(np.median(scores)), 256)))
    assert 0 < np.mean(flattery) < 1.05 * np.mean(bounds) < 4 * np.mean(flattery)


def test_luck_is_deterministic() -> None:
    hits = np.random.default_rng(3).random((16, 64)) < 0.5
    assert luck(hits) == luck(hits.copy())


# ----------------------------------------------------------------------------------------------- what to name beside it

COSTS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=12)


@given(COSTS, st.randoms(use_true_random=False))
def test_picks_differ_and_have_the_least_costs(costs: list[tuple[int, int, int]], random: Random) -> None:
    table = {name: np.array(column, float) for name, column in zip("abc", zip(*costs, strict=True), strict=True)}
    order = list(range(len(costs)))
    random.shuffle(order)
    found = picks(order, table)
    assert next(iter(found)) == order[0]
    chosen = [costs[index] for index in found]
    assert len(set(chosen)) == len(chosen) >= min(3, len(set(costs)))
    assert len(found) <= 1 + len(table)
    for name, values in table.items():
        assert [index for index, names in found.items() if name in names] and values[list(found)].min() == values.min()


@pytest.mark.parametrize(
    ("top1", "error", "chance", "found"),
    [(0.12, 0.02, 0.1, True), (0.1, 0.02, 0.1, True), (0.05, 0.02, 0.1, True), (0.2, 0.02, 0.1, False),
     (0.82, 0.02, 0.8, True)],
)  # fmt: skip
def test_chance_is_what_lies_within_two_errors_of_it(top1: float, error: float, chance: float, found: bool) -> None:
    assert at_chance(top1, error, chance) == found
