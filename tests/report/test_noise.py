"""Which members of a front cannot be told from a faster one."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nas.report.noise import within_noise_of_faster

POINTS = st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 0.1)), max_size=12)


def test_a_gain_below_one_standard_error_is_noise_and_a_sum_of_such_gains_is_not() -> None:
    assert within_noise_of_faster([(0.90, 0.02), (0.91, 0.02), (0.93, 0.01)]) == [False, True, False]
    assert within_noise_of_faster([(0.5, 0.1), (0.55, 0.01), (0.59, 0.01), (0.61, 0.01)]) == [False, True, True, False]
    assert within_noise_of_faster([(0.5, 0.1), (0.4, 0.1)]) == [False, True]
    assert within_noise_of_faster([]) == []


@given(POINTS)
def test_the_fastest_stands_out_and_what_stands_out_rises_by_more_than_the_error(
    points: list[tuple[float, float]],
) -> None:
    alike = within_noise_of_faster(points)
    assert len(alike) == len(points) and not any(alike[:1])
    kept = [point for point, noise in zip(points, alike, strict=True) if not noise]
    for (low, error), (high, own) in pairwise(kept):
        assert high - low >= max(error, own)


@given(POINTS, st.floats(1, 10))
def test_larger_errors_never_let_the_first_rise_stand_out(points: list[tuple[float, float]], factor: float) -> None:
    second = within_noise_of_faster(points)[1:2]
    if second == [True]:
        assert within_noise_of_faster([(top1, factor * error) for top1, error in points])[1]
