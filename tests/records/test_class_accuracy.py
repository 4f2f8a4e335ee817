"""Accuracy class by class: what it says of a rare class, and that train.json keeps it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.records.class_accuracy import ClassAccuracy


def test_a_rare_class_that_is_never_found_halves_the_balanced_accuracy() -> None:
    labels = np.array([0] * 120 + [1])
    found = ClassAccuracy.of(("ok", "defect"), labels, np.zeros(121, int))
    assert found.balanced == 0.5 and found.lowest() == "'defect' 0.0% of 1, 'ok' 100.0% of 120"


def test_classes_without_test_images_have_no_accuracy() -> None:
    found = ClassAccuracy.of(("a", "b", "c"), np.array([0, 2, 2]), np.array([0, 2, 1]))
    assert [row[0] for row in found.rows()] == ["a", "c"] and found.balanced == pytest.approx(0.75)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_train_json_keeps_it_and_equal_classes_make_it_top1(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(pairs).T
    found = ClassAccuracy.of(tuple("abcd"), labels, predicted)
    again = ClassAccuracy.stated_by(found.to_dict())
    assert again is not None and list(again.rows()) == list(found.rows()) and again.balanced == found.balanced
    even = ClassAccuracy.of(tuple("abcd"), np.tile(labels, 1), labels)
    assert even.balanced == 1
    assert ClassAccuracy.stated_by({"accuracy": 1}) is None and ClassAccuracy.stated_by([]) is None
