"""The standard error of an accuracy: a proportion's, and never 0."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.records.results import AccuracyKind, Score, accuracy_from, standard_error

KIND = AccuracyKind("digits", "0" * 64, 16, 0.25, "supernet weights, held-out pictures")


@given(st.integers(1, 10_000), st.data())
def test_a_standard_error_is_a_proportions_and_never_0(images: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, images))
    share = correct / images
    found = Score.of(share, images, KIND).standard_error
    assert found > 0
    if 0 < correct < images:
        assert found == pytest.approx(math.sqrt(share * (1 - share) / images))
    assert found == pytest.approx(standard_error(1 - share, images))  # the same for the errors
    assert found <= standard_error(0.5, images)


@pytest.mark.parametrize(("images", "points"), [(2, 19.4), (10, 7.666), (256, 0.386)])
def test_nothing_wrong_in_few_images_leaves_doubt(images: int, points: float) -> None:
    assert 100 * standard_error(1.0, images) == pytest.approx(points, rel=5e-3)


def test_more_images_leave_less_doubt() -> None:
    for share in (0.0, 0.5, 1.0):
        errors = [standard_error(share, images) for images in (2, 4, 8, 64, 1000, 50_000)]
        assert errors == sorted(errors, reverse=True)


def test_a_stored_error_is_kept_as_it_was_written() -> None:
    """Files of older releases say 0 where all images were classified correctly."""
    stored = Score.of(1.0, 2, KIND).to_dict() | {"standard_error": 0.0}
    assert accuracy_from(stored).standard_error == 0.0
