"""The study of few images: its classes, its draws, and the table of what was measured."""

import numpy as np
import pytest

from experiments import few_images
from nas.data import Labelled, build_dataset


def test_draws_are_of_the_classes_in_equal_parts_and_differ_by_seed() -> None:
    y = np.arange(400) % 10
    x = np.broadcast_to(np.arange(400)[:, None, None, None] % 251, (400, 4, 4, 1)).astype(np.uint8)
    names = tuple("abcdefghij")
    whole = build_dataset("ten", Labelled(x, y), Labelled(x[:100], y[:100]), class_names=names)
    first, other = (few_images.of_classes(whole, few_images.OWN, 32, seed) for seed in (0, 1))
    assert first.class_names == tuple("efghij") and np.bincount(first.y_train).tolist() == [6, 6, 5, 5, 5, 5]
    assert len(first.y_test) == 60 and not np.array_equal(first.x_train, other.x_train)
    again = few_images.of_classes(whole, few_images.OWN, 32, 0)
    assert again.digest == first.digest


def test_the_summary_is_of_all_trainings(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(few_images.known()) == len(few_images.ARMS) * len(few_images.SEEDS)
    few_images.summary()
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == len(few_images.ARMS) and all(line in (few_images.__doc__ or "") for line in shown)
