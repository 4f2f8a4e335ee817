"""Validation after each epoch: the rows, early stopping with the best weights, and the same bytes after a stop."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.arch import ArchSpec
from nas.data import Dataset, load
from nas.errors import InvalidInput
from nas.ops import Conv, Head, Shape
from nas.records.confusion import Confusion, load_confusion, save_confusion
from nas.records.history import EpochRow, History, load_history
from nas.training import loop
from nas.training.config import TrainingConfig
from nas.training.loop import TrainingProgress, train
from nas.training.optimizers import AdamW
from nas.training.recipe import load_recipe
from tests.support.taught import make_taught

ARCH = ArchSpec(Shape(8, 8, 3), ((Conv(4, 3, 2),),), Head(), 3)
RECIPE = load_recipe("small-data")
CONFIG = TrainingConfig(
    6, 8, AdamW(0.02), ingredients=RECIPE.ingredients, validation=0.3, patience=2, ema_decay=0.0, seed=1
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """45 training and 15 test images in three classes."""
    return load(str(make_taught(tmp_path_factory.mktemp("data"), ARCH) / "data.npz"))


@pytest.fixture(scope="module")
def validated(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a validated training by a recipe with everything."""
    out = tmp_path_factory.mktemp("validated") / "out"
    train(ARCH, data, CONFIG, out, recipe="small-data")
    return out


def test_every_epoch_has_a_row_and_the_best_one_gives_the_weights(validated: Path, data: Dataset) -> None:
    history = load_history(validated)
    assert history is not None and history.best is not None
    assert [row.epoch for row in history.rows] == list(range(1, len(history.rows) + 1))
    assert (history.validation_examples, history.training_examples) == (14, 31)
    assert history.rows[-1].epoch == 6 or history.stopped
    assert history.rows[0].learning_rate > history.rows[-1].learning_rate
    steps = json.loads((validated / "train.json").read_text())["steps"]
    assert steps == len(history.rows) * (31 // 8)
    confusion = load_confusion(validated)
    assert confusion is not None and confusion.images == 15 == len(data.y_test)
    right = sum(confusion.counts[i][i] for i in range(3))
    assert json.loads((validated / "train.json").read_text())["accuracy"]["top1"] == pytest.approx(right / 15)
    assert 'description = "as resolved from small-data"' in (validated / "recipe.toml").read_text()


def stopping(at: int, error: type[BaseException]) -> Callable[[TrainingProgress], None]:
    def stop(event: TrainingProgress) -> None:
        if event.step >= at:
            raise error

    return stop


def test_a_training_that_was_stopped_ends_with_the_same_bytes(
    validated: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(loop, "CHECKPOINT_S", 0.0)
    with pytest.raises(SystemExit):  # as after kill -9: rows and weights are ahead of the checkpoint
        train(ARCH, data, CONFIG, out, stopping(6, SystemExit), recipe="small-data")
    assert load_history(out) is not None
    train(ARCH, data, CONFIG, out, recipe="small-data")
    names = ("weights.safetensors", "train.json", "history.json", "confusion.csv", "settings.json", "best.safetensors")
    for name in names:
        assert (out / name).read_bytes() == (validated / name).read_bytes(), name
    train(ARCH, data, CONFIG, out, stopping(0, SystemExit), recipe="small-data")  # finished: nothing is trained again


def test_patience_ends_a_training_and_keeps_what_was_best() -> None:
    def row(epoch: int, score: float) -> EpochRow:
        return EpochRow(epoch, 0.1, 1, 0.5, 1, score)

    scores = (0.2, 0.5, 0.5, 0.4)
    history = History("top-1", 10, 10, 2, tuple(row(i, score) for i, score in enumerate(scores, 1)))
    assert history.best == row(2, 0.5) and history.stopped  # the first of equals
    assert not replace(history, rows=history.rows[:3]).stopped
    assert not replace(history, patience=0).stopped and not replace(history, rows=()).stopped
    assert "best in epoch 2 of 4: 50.00% of 10, ended after 2 epochs" in history.text()


def test_altered_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text('{"schema": "nas.history", "version": 1, "metric": 3}')
    with pytest.raises(InvalidInput, match="does not hold the history of a training"):
        load_history(tmp_path)
    confusion = Confusion.of(("=a", "b"), np.array([0, 0, 1]), np.array([0, 1, 1]))
    save_confusion(tmp_path, confusion)
    assert load_confusion(tmp_path) == confusion and confusion.worst() == [("=a", "b", 1)]
    (tmp_path / "confusion.csv").write_text("x,a,b\na,1,-2\nb,0,0\n")
    with pytest.raises(InvalidInput, match="'-2' is no number of images"):
        load_confusion(tmp_path)


def test_bounds() -> None:
    with pytest.raises(InvalidInput, match="patience counts epochs"):
        TrainingConfig(patience=2)
    with pytest.raises(InvalidInput, match="validation is a share"):
        TrainingConfig(validation=0.95)


def test_recipes_for_images_refuse_other_examples(tmp_path: Path) -> None:
    x, y = np.zeros((24, 4, 2)) + np.arange(24)[:, None, None], np.arange(24) % 2
    np.savez(tmp_path / "s.npz", x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:], data_kind="sequences")
    arch = ArchSpec(Shape(4, 1, 2), ((Conv(4, 3, 1),),), Head(), 2)
    with pytest.raises(InvalidInput, match="are for images; choose a recipe without them"):
        train(arch, load(str(tmp_path / "s.npz")), replace(CONFIG, validation=0, patience=0), tmp_path / "out")
