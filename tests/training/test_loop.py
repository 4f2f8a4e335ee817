"""Training one architecture alone: it learns, an interrupted one ends with the same bytes, statistics are exact."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nas.arch import ArchSpec, load_arch
from nas.data import Augmentation, Dataset, Labelled, build_dataset, load, to_input
from nas.errors import InvalidInput
from nas.nn.network import Network, get_weights, load_weights
from nas.ops import UIB, Conv, Head, Shape
from nas.records.signatures import signature_of
from nas.records.trainings import data_dir_of
from nas.tasks import CLASSIFICATION
from nas.training import loop as train_module
from nas.training.checkpoints import KEPT
from nas.training.loop import TrainingConfig, TrainingProgress, TrainResult, dataset_for, is_finished, train
from nas.training.optimizers import AdamW, RMSProp
from nas.training.step import estimate_statistics, image_splits, run_steps, score_on

ARCH = ArchSpec(Shape(8, 8, 1), ((Conv(8), UIB(16, 32, 0, 3, 2)),), Head(), 10)
SETTINGS = TrainingConfig(epochs=8, batch_size=32, optimizer=AdamW(0.01))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """The first 960 training and 200 test images of the embedded digits, 8 x 8 pixels."""
    whole = load("digits")
    train_part = Labelled(whole.x_train[:960], whole.y_train[:960])
    test_part = Labelled(whole.x_test[:200], whole.y_test[:200])
    return build_dataset("digits", train_part, test_part, augmentation=Augmentation(0.1))


@pytest.fixture(scope="module")
def trained(
    digits: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainResult, Path, list[TrainingProgress]]:
    out, seen = tmp_path_factory.mktemp("alone") / "out", []
    return train(ARCH, digits, SETTINGS, out, seen.append), out, seen


Trained = tuple[TrainResult, Path, list[TrainingProgress]]


def test_loss_falls_and_accuracy_is_far_above_chance(trained: Trained) -> None:
    result, _, seen = trained
    assert seen[-1].step == seen[-1].steps == result.steps == 8 * (960 // 32)
    assert [one.step for one in seen] == sorted({one.step for one in seen})
    assert seen[-1].loss < 0.75 * seen[0].loss
    assert result.accuracy.top1 > 0.7  # chance is 0.1
    assert result.accuracy.images == 200
    expected = (result.accuracy.top1 * (1 - result.accuracy.top1) / 200) ** 0.5
    assert result.accuracy.standard_error == pytest.approx(expected)


def test_files_hold_the_spec_the_weights_and_the_kind_of_accuracy(trained: Trained, digits: Dataset) -> None:
    result, out, _ = trained
    assert load_arch(out / "arch.json") == ARCH
    weights, origin = load_weights(out / "weights.safetensors", ARCH)
    assert origin == "trained"
    assert all((weights[name] == value).all() for name, value in result.weights.items())
    about = json.loads((out / "train.json").read_text())
    assert ArchSpec.from_dict(about["arch"]) == ARCH and about["digest"] == ARCH.digest
    assert about["accuracy"]["top1"] == result.accuracy.top1
    kind = about["accuracy"]["kind"]
    assert (kind["data_digest"], kind["resolution"], kind["width"]) == (digits.digest, 8, 1.0)
    assert kind["how"] == "trained alone, test pictures"
    assert about["settings"]["epochs"] == 8 and about["settings"]["optimizer"] == "AdamW"


def test_the_signature_normalises_as_the_training_did(trained: Trained, digits: Dataset) -> None:
    _, out, _ = trained
    found = signature_of(out)
    assert found is not None and found.class_names == digits.class_names
    spec, split = found.input, image_splits(digits)[0]
    assert (spec.height, spec.width, spec.channels, spec.colour_order) == (8, 8, 1, "grey")
    assert np.float32(spec.mean) == split.mean and np.float32(spec.std) == split.std
    np.testing.assert_allclose(
        spec.normalised(digits.x_test), to_input(jnp.asarray(digits.x_test), split.mean, split.std, 1), atol=1e-6
    )


def test_written_weights_give_the_written_accuracy(trained: Trained, digits: Dataset) -> None:
    result, out, _ = trained
    weights, _ = load_weights(out / "weights.safetensors", ARCH)
    split = image_splits(digits)[1]
    scores = [score_on(CLASSIFICATION, ARCH, weights, split, size) for size in (64, 200, 256)]
    assert scores == [(result.accuracy.top1, None)] * 3


def interrupting(at_step: int) -> Callable[[TrainingProgress], None]:
    """A progress display during which the user presses Ctrl-C."""

    def interrupt(progress: TrainingProgress) -> None:
        if progress.step >= at_step:
            raise KeyboardInterrupt

    return interrupt


def test_interrupted_training_ends_with_the_same_bytes(trained: Trained, digits: Dataset, tmp_path: Path) -> None:
    _, whole, _ = trained
    out, seen = tmp_path / "out", []
    for at_step in (3, 40):
        with pytest.raises(KeyboardInterrupt):
            train(ARCH, digits, SETTINGS, out, interrupting(at_step))
        assert not (out / "weights.safetensors").exists()
    train(ARCH, digits, SETTINGS, out, seen.append)
    assert seen[0].step > 40  # it went on, and did not begin again
    for name in ("weights.safetensors", "train.json", "arch.json", "settings.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


def test_finished_training_is_not_repeated(trained: Trained, digits: Dataset) -> None:
    result, out, _ = trained
    seen: list[TrainingProgress] = []
    again = train(ARCH, digits, SETTINGS, out, seen.append)
    assert not seen
    assert again.accuracy == result.accuracy


def test_a_training_is_finished_wherever_its_data_lie_now(trained: Trained, digits: Dataset, tmp_path: Path) -> None:
    _, whole, _ = trained
    out, there = shutil.copytree(whole, tmp_path / "out"), tmp_path / "data"
    there.mkdir()
    settings = json.loads((out / "settings.json").read_text())
    (out / "settings.json").write_text(json.dumps(settings | {"data_dir": str(there)}))
    elsewhere = replace(digits, data_dir=str(tmp_path))
    assert all(is_finished(ARCH, data, SETTINGS, out) for data in (digits, elsewhere))
    assert not is_finished(ARCH, digits, replace(SETTINGS, seed=1), out)
    assert data_dir_of(out) == there and data_dir_of(whole) is None
    there.rmdir()
    assert data_dir_of(out) is None  # looked for in the usual places


def test_checkpoints_are_written_on_the_way(digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(train_module, "MAX_DISPATCH_STEPS", 7)
    out = tmp_path / "out"

    def kill(progress: TrainingProgress) -> None:
        if progress.step > 20:
            raise SystemExit  # unlike KeyboardInterrupt, nothing is saved for it

    with pytest.raises(SystemExit):
        train(ARCH, digits, SETTINGS, out, kill)
    steps = sorted(int(path.name) for path in (out / "checkpoints").iterdir())
    assert len(steps) == KEPT and steps[-1] > 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": replace(SETTINGS, epochs=6)}, "a training with epochs 8, not 6"),
        ({"config": replace(SETTINGS, optimizer=RMSProp(0.1))}, "a training with optimizer 'AdamW', not 'RMSProp'"),
        ({"arch": replace(ARCH, padding="same")}, "a training with arch '"),
        ({"proxy_width": 0.5}, "a training with proxy_width 1.0, not 0.5"),
    ],
)
def test_folder_of_another_training_is_refused(
    trained: Trained, digits: Dataset, change: dict[str, Any], message: str
) -> None:
    _, out, _ = trained
    arguments = {"arch": ARCH, "dataset": digits, "config": SETTINGS, "out": out} | change
    with pytest.raises(InvalidInput, match=message):
        train(**arguments)


def test_folder_with_other_things_in_it_is_refused(digits: Dataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not touch")
    with pytest.raises(InvalidInput, match="exists and is not empty"):
        train(ARCH, digits, SETTINGS, tmp_path)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        (replace(ARCH, num_classes=9), "has 9 classes, but digits has 10"),
        (replace(ARCH, input_shape=Shape(8, 1, 1)), "digits holds images of 8 px, which are not 8 steps"),
    ],
)
def test_data_that_does_not_fit_the_spec_is_refused(
    digits: Dataset, tmp_path: Path, arch: ArchSpec, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        train(arch, digits, SETTINGS, tmp_path / "out")


def test_loss_that_is_no_longer_finite_stops_in_one_line(digits: Dataset, tmp_path: Path) -> None:
    wild = replace(SETTINGS, optimizer=AdamW(1e38), warmup_fraction=0.0)
    with pytest.raises(InvalidInput, match=r"the loss is no longer finite at step .*; lower the learning rate"):
        train(ARCH, digits, wild, tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())  # the corrected training may use the folder


def test_a_refused_training_leaves_its_folder_to_the_corrected_one(digits: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="the weights lack"):
        train(ARCH, digits, SETTINGS, tmp_path / "out", initial_weights={"wrong": np.zeros(1)})
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 1}, {"label_smoothing": 1.0}, {"seed": -1}, {"optimizer": AdamW(0.0)}]
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        TrainingConfig(**wrong)


def test_inherited_weights_are_the_start(trained: Trained, digits: Dataset, tmp_path: Path) -> None:
    result, _, _ = trained
    inherited = {name: value for name, value in result.weights.items() if not name.endswith((".mean", ".var"))}
    brief = replace(SETTINGS, epochs=1, optimizer=AdamW(1e-4))
    again = train(ARCH, digits, brief, tmp_path / "out", initial_weights=inherited)
    assert again.accuracy.top1 > 0.9 * result.accuracy.top1
    assert json.loads((tmp_path / "out" / "train.json").read_text())["started_from"] == "inherited weights"
    with pytest.raises(InvalidInput, match="the weights lack"):
        train(ARCH, digits, brief, tmp_path / "other", initial_weights={})


def test_statistics_of_the_first_layer_are_those_of_all_its_outputs_at_once(digits: Dataset) -> None:
    fresh = get_weights(Network(ARCH, nnx.Rngs(0)))
    split = image_splits(digits)[0]
    weights = estimate_statistics(ARCH, fresh, split, batch_size=96)
    raw = jax.lax.conv_general_dilated(
        split.inputs(split.x, ARCH).astype(jnp.float32), fresh["0.0.conv.weight"], (1, 1), [(1, 1), (1, 1)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    np.testing.assert_allclose(weights["0.0.conv.mean"], raw.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weights["0.0.conv.var"], raw.var((0, 1, 2)), rtol=1e-4)
    changed = {name for name in fresh if not (weights[name] == fresh[name]).all()}
    assert changed == {name for name in fresh if name.endswith((".mean", ".var"))}


def test_data_are_resized_to_the_spec_and_grey_is_repeated(digits: Dataset) -> None:
    arch = replace(ARCH, input_shape=Shape(12, 12, 3))
    data = dataset_for(arch, digits)
    assert data.resolution == 12
    inputs = image_splits(data)[0].inputs(jnp.asarray(data.x_train[:2]), arch)
    assert inputs.shape == (2, 12, 12, 3)
    assert (inputs[..., 0] == inputs[..., 2]).all()


def test_seed_fixes_the_start(digits: Dataset) -> None:
    one, same, other = (get_weights(Network(ARCH, nnx.Rngs(seed)))["0.0.conv.weight"] for seed in (0, 0, 1))
    assert (one == same).all() and not (one == other).all()


def test_one_compilation_serves_all_seeds_and_lengths(trained: Trained, digits: Dataset, tmp_path: Path) -> None:
    before = run_steps._cache_size()
    train(ARCH, digits, replace(SETTINGS, seed=5), tmp_path / "out")
    assert run_steps._cache_size() == before > 0
