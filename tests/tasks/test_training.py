"""Regression and multi-label from an .npz file to a trained network and a program that predicts, in their own units."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.data import Dataset, Preparation, load
from nas.errors import InvalidInput
from nas.nn.network import load_weights
from nas.ops import Conv, Head, Shape
from nas.records.signatures import signature_of
from nas.records.target_scores import TargetScores
from nas.tasks import MultiLabel, Regression, binomial_error, measured
from nas.training.candidates import make_trainings
from nas.training.loop import TrainingConfig, TrainResult, train
from nas.training.members import as_members
from nas.training.optimizers import AdamW
from nas.training.step import image_splits, network_outputs, score_on
from nas.training.trainees import Trainee
from tests.support.target_data import MEAN, NAMES, STD, save_target_data, target_arrays

ARCH = ArchSpec(Shape(8, 8, 1), ((Conv(8, 3, 2), Conv(16, 3, 2)),), Head(), 2)
SETTINGS = TrainingConfig(epochs=12, batch_size=32, optimizer=AdamW(0.02), ema_decay=0.9)
Trained = tuple[TrainResult, Path, Dataset]


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("regression")
    data = load(str(save_target_data(folder / "set.npz")), preparation=Preparation(task="regression-ccc"))
    return train(ARCH, data, SETTINGS, folder / "out"), folder / "out", data


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("labels")
    data = load(str(save_target_data(folder / "set.npz", labels=True)))
    return train(ARCH, data, SETTINGS, folder / "out"), folder / "out", data


def test_the_file_tells_task_names_and_units(regression: Trained) -> None:
    data = regression[2]
    assert isinstance(data.task, Regression) and data.class_names == NAMES and data.outputs_text == "2 targets"
    assert data.task.mean == pytest.approx(MEAN, rel=0.1) and data.task.std == pytest.approx(STD, rel=0.2)
    assert data.augmentation.shift_px_fraction == 0  # places would stay where they were


def test_a_regression_is_learnt_and_told_in_the_units_of_its_targets(regression: Trained) -> None:
    result, out, data = regression
    about = json.loads((out / "train.json").read_text())
    assert about["accuracy"]["kind"]["metric"] == "ccc" and about["accuracy"]["value"] == result.accuracy.value > 0.8
    scale = {"mean": list(data.task.mean), "std": list(data.task.std)}
    assert about["task"] == {"kind": "regression-ccc", "outputs": "numbers", **scale}
    scores = TargetScores.stated_by(about)
    assert scores == result.by_class and [one.metric for one in scores.metrics] == ["ccc", "mae", "r2"]
    brightness = {one.metric: one for one in scores.targets["brightness"]}
    assert brightness["mae"].value < 0.5 * brightness["mae"].of_constant  # of the mean predictor
    assert 20 < brightness["mae"].of_constant < 50 and 0 < (brightness["mae"].standard_error or 0) < 5


def test_the_written_weights_give_the_units_of_the_targets(regression: Trained) -> None:
    result, out, data = regression
    weights, _ = load_weights(out / "weights.safetensors", ARCH)
    values = network_outputs(ARCH, weights, image_splits(data)[1])
    mae = np.abs(values - data.y_test).mean(0)
    stated = [next(one.value for one in rows if one.metric == "mae") for rows in result.by_class.targets.values()]
    assert mae == pytest.approx(stated, rel=1e-3)


def test_several_labels_are_learnt(labels: Trained) -> None:
    result, out, data = labels
    about = json.loads((out / "train.json").read_text())
    assert isinstance(data.task, MultiLabel) and about["accuracy"]["kind"]["metric"] == "macro_f1"
    (f1,) = result.by_class.metrics
    assert result.accuracy.value == pytest.approx(f1.value) and f1.value > max(0.75, f1.of_constant)


@pytest.mark.parametrize(("kind", "key"), [("regression", "values"), ("labels", "probabilities")])
def test_predict_py_says_what_the_network_says(
    kind: str, key: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pytest.importorskip("onnxruntime")
    _, out, data = request.getfixturevalue(kind)
    assert main(["export", str(out), "--format", "onnx", "--out", str(tmp_path / "net.onnx")]) == 0
    Image.fromarray(np.asarray(data.x_test)[3, :, :, 0]).save(tmp_path / "image.png")
    card = (tmp_path / "net.onnx.md").read_text() if (tmp_path / "net.onnx.md").exists() else (
        (tmp_path / "net.md").read_text()
    )  # fmt: skip
    assert "brightness" in card and ("CCC" in card if kind == "regression" else "macro F1" in card)
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["predict.py", "--json", str(tmp_path / "image.png")])
    runpy.run_path(str(tmp_path / "predict.py"), run_name="__main__")
    found = json.loads(capsys.readouterr().out)
    weights, _ = load_weights(out / "weights.safetensors", ARCH)
    expected = network_outputs(ARCH, weights, image_splits(data)[1])[3]
    if kind == "labels":
        assert found["labels"] == [name for name, logit in zip(NAMES, expected, strict=True) if logit > 0]
        expected = 1 / (1 + np.exp(-expected))
    assert [found[key][name] for name in NAMES] == pytest.approx(expected.tolist(), rel=1e-4)


def test_an_int8_file_keeps_targets_of_small_numbers(
    regression: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    _, out, data = regression
    file = tmp_path / "net.onnx"
    flags = ["--format", "onnx", "--quantize", "int8", "--calibration", data.name, "--out", str(file)]
    assert main(["export", str(out), *flags]) == 0
    assert "same class" not in capsys.readouterr().out
    weights, _ = load_weights(out / "weights.safetensors", ARCH)
    expected = network_outputs(ARCH, weights, image_splits(data)[1])[:6]
    found = []
    for number in range(6):
        Image.fromarray(np.asarray(data.x_test)[number, :, :, 0]).save(tmp_path / "image.png")
        monkeypatch.setattr(sys, "argv", ["predict.py", "--json", str(tmp_path / "image.png")])
        runpy.run_path(str(tmp_path / "predict.py"), run_name="__main__")
        found.append(list(json.loads(capsys.readouterr().out)["values"].values()))
    assert (np.abs(np.array(found) - expected).mean(0) < 0.2 * np.array(STD)).all()  # of one scale it would be 1
    assert "after output x std + mean" in (tmp_path / "net.onnx.md").read_text()


def test_nas_train_and_nas_show_speak_of_the_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_target_data(tmp_path / "set.npz", count=60)
    save_arch(ARCH, tmp_path / "net.json")
    flags = ["--data", "set.npz", "--task", "regression-mae", "--epochs", "1", "--batch-size", "16", "--out", "t"]
    assert main(["train", "net.json", *flags]) == 0
    shown = capsys.readouterr().out
    assert (
        "2 targets" in shown and "training MAE skill" in shown and "test MAE " in shown and "constant answer" in shown
    )
    assert main(["show", "t"]) == 0
    assert "test MAE " in capsys.readouterr().out
    assert main(["train", "net.json", *flags]) == 0  # finished: the same again
    assert main(["train", "net.json", *[flag.replace("-mae", "-ccc") for flag in flags]]) == 2


def test_members_of_a_program_are_scored_and_written_alike(regression: Trained, tmp_path: Path) -> None:
    data = regression[2]
    config = TrainingConfig(epochs=2, batch_size=32, optimizer=AdamW(0.02), ema_decay=0.5)
    trials = make_trainings([ARCH], data, config, tmp_path, split=(0.25, 0))
    with as_members(trials, lambda *_: None) as train_all:
        (trained,) = train_all([Trainee(ARCH.digest, ARCH, 0, 2)])
    errors, examples = trials.errors(ARCH.digest), len(trials.data.x_test)
    assert set(errors) == {1, 2} and all(0 < error < 0.3 for error in errors.values())
    assert all(abs(errors[i + 1] - binomial_error(trained.curve[i], examples)) > 1e-3 for i in range(2))
    assert len(trained.curve) == 2 and all(0 <= score <= 1 for score in trained.curve) and trained.curve[-1] > 0
    weights, _ = load_weights(trials.of(ARCH.digest) / "weights.safetensors", ARCH)
    values = network_outputs(ARCH, weights, image_splits(data)[1])
    assert np.abs(values.mean(0) - MEAN).max() < 3 * max(STD)  # in the units of the targets
    signature = signature_of(trials.of(ARCH.digest))
    assert signature is not None and signature.outputs.meaning == "numbers"


def test_a_score_comes_with_the_error_of_its_metric(labels: Trained) -> None:
    result, _, data = labels
    split = image_splits(data)[1]
    whole = measured(data.task.score, network_outputs(ARCH, result.weights, split), data.y_test)
    assert score_on(data.task, ARCH, result.weights, split) == pytest.approx((whole.value, whole.standard_error))


def test_what_would_move_images_and_not_their_places_is_refused(tmp_path: Path) -> None:
    arrays = target_arrays(60) | {"target_names": np.array(["eye_x", "eye_y"])}
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(InvalidInput, match="--flip would move images and not the coordinates in them"):
        load(str(tmp_path / "set.npz"), preparation=Preparation(flip=True))
    with pytest.raises(InvalidInput, match="no classes that could be weighted"):
        load(str(tmp_path / "set.npz"), preparation=Preparation(class_weights="balanced"))
    np.savez(tmp_path / "set.npz", **arrays | {"target_names": np.array(["a", "b", "c"])})
    with pytest.raises(InvalidInput, match="3 target names came with targets of 2 columns"):
        load(str(tmp_path / "set.npz"))
    with pytest.raises(InvalidInput, match="is for classification, not regression"):
        load("digits", preparation=Preparation(task="regression"))
