"""A teacher in training: its answers, the loss, what goes on, and what is refused."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nas.arch import ArchSpec
from nas.cli import main
from nas.data import load
from nas.data.input_spec import InputSpec
from nas.errors import InvalidInput
from nas.export.weights import logits
from nas.nn.network import get_weights, random_network
from nas.ops import Conv, Head, Shape
from nas.tasks import CLASSIFICATION, Regression
from nas.training.loop import TrainingConfig, train
from nas.training.teaching import Teacher, Teaching
from tests.support.taught import make_taught

ARCH = ArchSpec(Shape(8, 8, 3), ((Conv(4, 3, 2),),), Head(), 3)
WIDE = ArchSpec(Shape(12, 12, 3), ((Conv(6, 3, 2),),), Head(), 3)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small data set, and a trained teacher at another size."""
    return make_taught(tmp_path_factory.mktemp("work"), WIDE)


def test_answers_are_those_of_the_network_for_the_images_in_its_own_form() -> None:
    weights = {name: np.asarray(value) for name, value in get_weights(random_network(ARCH, 0)).items()}
    taken = InputSpec(8, 8, 3, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    arrays = Teacher(Teaching(ARCH), weights, taken).arrays()
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    found = np.asarray(arrays.answers(ARCH, jnp.asarray(images)))
    np.testing.assert_allclose(found, logits(ARCH, weights, taken.normalised(images)), atol=1e-5)
    assert arrays.answers(ARCH, jnp.zeros((2, 20, 20, 1), jnp.uint8)).shape == (2, 3)  # resized, grey repeated


def test_the_loss_is_that_of_labels_and_of_softened_answers() -> None:
    rng = np.random.default_rng(0)
    outputs, answers, labels = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), np.array([0, 1, 2, 1, 0])
    teaching = Teaching(ARCH, 0.25, 4.0)
    found = teaching.loss(CLASSIFICATION, jnp.asarray(outputs), jnp.asarray(labels), jnp.asarray(answers))
    from_labels = -jax.nn.log_softmax(outputs)[np.arange(5), labels].mean()
    from_teacher = -(jax.nn.softmax(answers / 4) * jax.nn.log_softmax(outputs / 4)).sum(1).mean()
    assert float(found) == pytest.approx(float(0.75 * from_labels + 0.25 * 16 * from_teacher), rel=1e-5)
    task = Regression((1.0, 2.0, 3.0), (2.0, 2.0, 2.0))  # outputs are standardised, a teacher's are not
    numbers = Teaching(ARCH, 1.0, 4.0).loss(task, jnp.asarray(outputs), jnp.zeros((5, 3)), jnp.asarray(answers))
    standardised = (answers - np.array([1, 2, 3])) / 2
    assert float(numbers) == pytest.approx(float(np.square(outputs - standardised).mean()), rel=1e-5)  # no temperature


def test_a_training_learns_from_a_teacher_and_says_so(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", str(work / "teacher" / "arch.json"), "--data", str(work / "data.npz"), "--epochs", "1"]
    words += ["--batch-size", "15", "--teacher", str(work / "teacher"), "--out", str(work / "student")]
    assert main([*words, "--teacher-share", "1", "--plan"]) == 0
    assert f"teacher {work / 'teacher'}: 100% of the loss, temperature 2" in capsys.readouterr().out
    assert main(words) == 0
    stored = json.loads((work / "student" / "settings.json").read_text())
    assert (stored["teacher_share"], stored["temperature"]) == (0.5, 2.0) and len(stored["teacher"]) == 64
    assert main([*words, "--temperature", "3"]) == 2  # another training
    assert "another" in capsys.readouterr().err
    before = json.loads((work / "teacher" / "settings.json").read_text())
    assert "teacher" not in before  # settings of trainings without one are as they were


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--teacher-share", "0.5"], "--teacher-share and --temperature go with --teacher"),
        (["--teacher", "TEACHER", "--temperature", "0"], "temperature must lie between 0.1 and 100"),
        (["--teacher", "nothing"], "a teacher must be a training, a run, or NETWORK=FILE"),
    ],
)
def test_bad_requests_get_one_line(
    work: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    found = [str(work / "teacher") if word == "TEACHER" else word for word in words]
    spec, data = str(work / "teacher" / "arch.json"), str(work / "data.npz")
    assert main(["train", spec, "--data", data, "--out", str(work / "bad"), *found]) == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_taught_is_refused(work: Path) -> None:
    weights = {name: np.asarray(value) for name, value in get_weights(random_network(ARCH, 0)).items()}
    teacher = Teacher(Teaching(ARCH), weights, InputSpec(8, 8, 3, (0.5,) * 3, (0.25,) * 3))
    other = ArchSpec(Shape(4, 1, 2), ((Conv(4, 3, 1),),), Head(), 2)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 4, 2)), np.arange(24) % 2
    np.savez(work / "s.npz", x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:], data_kind="sequences")
    with pytest.raises(InvalidInput, match="that takes images in memory"):
        train(other, load(str(work / "s.npz")), TrainingConfig(1, 5), work / "series", teacher=teacher)
