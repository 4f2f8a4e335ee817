"""Choosing the best of noisy scores."""

import numpy as np
import pytest

from nas.search.selection import few_images_note, worst_difference_error


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
