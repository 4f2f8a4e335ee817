"""Laws of fronts, layers, crowding and hypervolumes, against brute force over small grids full of ties and copies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.search.pareto import crowding, hypervolume, hypervolume_2d, non_dominated, ranks

VALUES = st.integers(0, 6).map(float) | st.sampled_from([float("inf"), -1.5])


def clouds(width: int, values: st.SearchStrategy[float] = VALUES) -> st.SearchStrategy[NDArray[np.float64]]:
    """Up to 25 points of `width` objectives."""
    rows = st.lists(st.tuples(*[values] * width), max_size=25)
    return rows.map(lambda points: np.array(points, float).reshape(-1, width))


CLOUDS = st.integers(1, 4).flatmap(lambda m: st.tuples(clouds(m), st.tuples(*[st.booleans()] * m)))
FINITE = clouds(2, st.integers(0, 6).map(float))


def brute_force(points: NDArray[np.float64], minimise: tuple[bool, ...]) -> list[bool]:
    """The definition, word for word."""

    def dominates(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
        no_worse = [(x <= y) if small else (x >= y) for x, y, small in zip(a, b, minimise, strict=True)]
        return all(no_worse) and bool((a != b).any())

    return [not any(dominates(other, point) for other in points) for point in points]


@given(CLOUDS)
def test_the_front_is_what_the_definition_says(case: tuple[NDArray[np.float64], tuple[bool, ...]]) -> None:
    points, minimise = case
    assert non_dominated(points, minimise).tolist() == brute_force(points, minimise)


@given(CLOUDS, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(case: tuple[NDArray[np.float64], tuple[bool, ...]], random) -> None:
    points, minimise = case
    order = list(range(len(points)))
    random.shuffle(order)
    assert (non_dominated(points[order], minimise) == non_dominated(points, minimise)[order]).all()


@given(clouds(2), st.booleans())
def test_two_routes_agree_on_two_objectives(points: NDArray[np.float64], small: bool) -> None:
    third = np.concatenate([points, np.zeros((len(points), 1))], axis=1)  # an equal third one takes the general route
    assert (non_dominated(points, (small, True)) == non_dominated(third, (small, True, True))).all()


@given(FINITE, st.tuples(st.integers(0, 8), st.integers(0, 8)))
def test_the_hypervolume_is_the_number_of_dominated_unit_squares(
    points: NDArray[np.float64], corner: tuple[int, int]
) -> None:
    cells = [(x, y) for x in range(corner[0]) for y in range(corner[1])]
    covered = sum(any(px <= x and py <= y for px, py in points) for x, y in cells)
    assert hypervolume_2d(points, corner) == covered


@given(FINITE, FINITE)
def test_the_hypervolume_grows_with_points_and_ignores_dominated_ones(
    points: NDArray[np.float64], more: NDArray[np.float64]
) -> None:
    corner = (5.0, 5.5)
    area = hypervolume_2d(points, corner)
    assert hypervolume_2d(np.concatenate([points, more]), corner) >= area
    assert hypervolume_2d(points[non_dominated(points, (True, True))], corner) == area


def test_a_front_of_many_points_is_quick_and_right() -> None:
    angles = np.linspace(0, np.pi / 2, 20_001)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.concatenate([arc, 0.9 * arc])
    front = non_dominated(points, (False, False))
    assert front[:20_001].all() and not front[20_001:].any()
    assert hypervolume_2d(1 - points, (1.0, 1.0)) == pytest.approx(np.pi / 4, abs=1e-4)


@pytest.mark.parametrize("points", [[[1.0, float("nan")]], [[1.0]], [1.0, 2.0]])
def test_bad_points_are_refused(points: list[object]) -> None:
    with pytest.raises(InvalidInput):
        non_dominated(points, (True, True))  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------- layers and crowding


@given(CLOUDS)
def test_layers_are_the_fronts_of_what_is_left(case: tuple[NDArray[np.float64], tuple[bool, ...]]) -> None:
    points, minimise = case
    layers = ranks(points, minimise)
    left, layer = np.arange(len(points)), 0
    while len(left):
        front = np.array(brute_force(points[left], minimise))
        assert (layers[left[front]] == layer).all()
        left, layer = left[~front], layer + 1
    assert layers.max(initial=-1) == layer - 1


@given(clouds(2), st.booleans())
def test_two_routes_agree_on_the_layers_of_two_objectives(points: NDArray[np.float64], small: bool) -> None:
    third = np.concatenate([points, np.zeros((len(points), 1))], axis=1)
    assert (ranks(points, (small, True)) == ranks(third, (small, True, True))).all()


@given(st.integers(1, 3), st.integers(0, 12), st.integers(0, 10_000))
def test_crowding_is_what_the_paper_computes(width: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.random((count, width))
    layers = rng.integers(0, 3, count)
    expected = np.zeros(count)
    for layer in set(layers.tolist()):
        for m in range(width):
            order = sorted(np.flatnonzero(layers == layer), key=lambda i: points[i, m])
            expected[[order[0], order[-1]]] = np.inf
            spread = points[order[-1], m] - points[order[0], m]
            for before, i, after in zip(order, order[1:], order[2:], strict=False):
                expected[i] += (points[after, m] - points[before, m]) / spread
    np.testing.assert_allclose(crowding(points, layers), expected, rtol=1e-12)


def test_crowding_of_copies_is_no_division_by_zero() -> None:
    assert crowding(np.zeros((4, 2)), np.zeros(4, int)).tolist().count(np.inf) >= 2


# ------------------------------------------------------------------------------------------ volumes of three objectives


@given(clouds(3, st.integers(0, 5).map(float)), st.tuples(*[st.integers(0, 6)] * 3))
def test_the_volume_is_the_number_of_dominated_unit_cubes(points: NDArray[np.float64], corner: tuple[int, ...]) -> None:
    cells = np.stack(np.meshgrid(*map(np.arange, corner), indexing="ij"), -1).reshape(-1, 3)
    covered = (points[None] <= cells[:, None]).all(2).any(1).sum()
    assert hypervolume(points, corner) == covered


@given(FINITE)
def test_a_third_objective_that_is_equal_multiplies_the_area(points: NDArray[np.float64]) -> None:
    flat = np.concatenate([points, np.full((len(points), 1), 1.5)], axis=1)
    assert hypervolume(flat, (5, 5, 4)) == 2.5 * hypervolume(points, (5, 5))


def test_volumes_of_four_objectives_are_refused() -> None:
    with pytest.raises(InvalidInput, match="2 or 3"):
        hypervolume(np.zeros((1, 4)), (1, 1, 1, 1))
