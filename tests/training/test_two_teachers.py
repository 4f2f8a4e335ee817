"""The loss of regression with a tough and a tolerant teacher: its pieces, and where they meet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Conv, Head, Shape
from nas.tasks import CLASSIFICATION, Regression
from nas.training.two_teachers import (
    SILENT,
    TOLERANT,
    TOUGH,
    TwoTeachers,
    TwoTeachings,
    assistive_loss,
    main_loss,
    two_teacher_loss,
)

ARCH = ArchSpec(Shape(8, 8, 3), ((Conv(4, 3, 2),),), Head(), 2)
Y = jnp.float32(0.5)


def test_the_main_loss_is_absolute_then_quadratic_and_continuous() -> None:
    tolerant = Y + 0.4
    assert float(main_loss(Y - 0.3, Y, tolerant)) == pytest.approx(0.9)
    assert float(main_loss(Y + 0.8, Y, tolerant)) == pytest.approx(0.64 + 1.2 - 0.16)
    below, above = (float(main_loss(Y + 0.4 + e, Y, tolerant)) for e in (-1e-5, 1e-5))
    assert below == pytest.approx(above, abs=1e-4) and float(main_loss(Y, Y, tolerant)) == 0


def test_the_assistive_loss_is_silent_near_the_target_and_changes_its_sign_at_the_teacher() -> None:
    teacher = Y + 0.4
    offs = np.linspace(0, 0.8, 81)
    for side in (1, -1):  # the teacher is reflected to the side of the prediction
        found = np.array([float(assistive_loss(Y + side * off, Y, teacher, TOUGH)) for off in offs])
        silent, beyond = SILENT * 0.4, offs > 0.401
        inside, between = offs < silent - 1e-6, (offs > silent + 1e-6) & (offs < 0.399)
        assert (found[inside] == 0).all()
        np.testing.assert_allclose(found[between], TOUGH[1] * (0.4 - offs[between]), atol=1e-5)
        np.testing.assert_allclose(found[beyond], TOUGH[0] * (offs[beyond] - 0.4), atol=1e-5)
        assert (found[between] < 0).all() and (found[beyond] > 0).all()
    at = [float(assistive_loss(Y + 0.4 + e, Y, teacher, TOLERANT)) for e in (-1e-5, 1e-5)]
    assert at == pytest.approx([0, 0], abs=1e-4)


@pytest.mark.parametrize("off", [0.1, 0.3, 0.55, 0.9, -0.2, -0.7])
def test_every_part_draws_the_prediction_towards_the_target(off: float) -> None:
    loss = lambda p: two_teacher_loss(p[None], Y[None], (Y + 0.4)[None], (Y - 0.6)[None])  # noqa: E731
    assert float(jax.grad(lambda p: loss(p))(Y + off)) * off > 0


def test_answers_are_taken_in_the_units_of_the_targets() -> None:
    task = Regression((1.0, 2.0), (2.0, 4.0))
    rng = np.random.default_rng(0)
    outputs, targets, answers = (jnp.asarray(rng.normal(size=shape)) for shape in ((5, 2), (5, 2), (5, 2, 2)))
    found = TwoTeachings(ARCH, ARCH).loss(task, outputs, targets, answers)
    scaled = [task.scaled(each) for each in (targets, answers[:, 0], answers[:, 1])]
    assert float(found) == pytest.approx(float(two_teacher_loss(outputs, *scaled)), rel=1e-6)


def test_classes_are_not_taught_by_two() -> None:
    with pytest.raises(InvalidInput, match="teach regression"):
        TwoTeachers.check(None, CLASSIFICATION)  # type: ignore[arg-type]
