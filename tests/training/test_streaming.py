"""Images that are too many for memory: the same steps see the same images, and every result has the same bytes."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from nas.arch import ArchSpec
from nas.cli import main
from nas.data import Preparation, image_files, load
from nas.errors import InvalidInput
from nas.ops import Conv, Head, Shape
from nas.runs import teacher_answers
from nas.runs.batches import BatchSampler, Rows
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.supernet import presets
from nas.training import streaming
from nas.training.loop import TrainingConfig, TrainingProgress, train
from nas.training.optimizers import AdamW
from nas.training.streaming import prefetched
from tests.support.tiny import PRESET

ARCH = ArchSpec(Shape(8, 8, 3), ((Conv(8),),), Head(), 2)
CONFIG = TrainingConfig(epochs=3, batch_size=8, optimizer=AdamW(0.01))
FILES = ("weights.safetensors", "train.json", "settings.json", "arch.json")


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 2 x 22 training and 2 x 5 test images of 16 px, horizontal and vertical stripes."""
    root, rng = tmp_path_factory.mktemp("stripes"), np.random.default_rng(0)
    for part, count in (("train", 22), ("test", 5)):
        for label, name in enumerate(("flat", "steep")):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                wave = np.roll(np.arange(16) // 4 % 2 * 80, rng.integers(8))
                image = np.broadcast_to(wave[:, None] if label else wave, (16, 16)) + rng.integers(0, 99, (16, 16))
                Image.fromarray(image.astype(np.uint8)).convert("RGB").save(root / part / name / f"{index}.png")
    return root


def test_a_streamed_training_ends_with_the_bytes_of_one_in_memory(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = Preparation(class_weights="balanced", augment_shift=0.25, flip=True)
    train(ARCH, load(str(stripes), preparation=prepared), CONFIG, tmp_path / "kept")
    monkeypatch.setattr(image_files, "KEPT_BYTES", 0)
    monkeypatch.setattr(streaming, "PART_BYTES", 3 * 8 * 8 * 8 * 3)  # three steps of five an epoch
    dataset = load(str(stripes), preparation=prepared)

    def stop(event: TrainingProgress) -> None:
        if event.step >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(ARCH, dataset, CONFIG, tmp_path / "streamed", stop)
    train(ARCH, dataset, CONFIG, tmp_path / "streamed")
    for name in FILES:
        assert (tmp_path / "kept" / name).read_bytes() == (tmp_path / "streamed" / name).read_bytes(), name
    stored = json.loads((tmp_path / "kept" / "settings.json").read_text())
    assert (stored["fit"], stored["augment_shift"], stored["flip"]) == ("crop", 0.25, True)
    about = json.loads((tmp_path / "kept" / "train.json").read_text())
    assert [row["class"] for row in about["class_accuracy"]] == ["flat", "steep"]
    assert about["balanced_accuracy"] == np.mean([row["top1"] for row in about["class_accuracy"]])
    with pytest.raises(InvalidInput, match=r"holds a training with augment_shift 0\.25, not 0\.125"):
        train(ARCH, load(str(stripes)), CONFIG, tmp_path / "kept")


def test_the_steps_of_a_search_see_the_same_images(stripes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(presets.PRESETS, "tiny", PRESET)
    config = SearchConfig(
        space="tests.support.tiny:SPACE", target="pixel6-cpu", latency_ms=0.015, data=str(stripes), resolution=32,
        preset="tiny", proxy_resolution=8,
    )  # fmt: skip
    seen = []
    for kept in (1 << 30, 0):
        monkeypatch.setattr(image_files, "KEPT_BYTES", kept)
        plan = make_plan(config)
        sampler = BatchSampler(plan)

        def rows(step: int, of: BatchSampler = sampler) -> tuple[Rows, Rows]:
            return of.train_batches(3, step, 2), of.reward_batches(4, step, 2)

        own = []
        for images, train_rows, val_rows in sampler.dispatches(rows, range(0, 6, 2), None):
            own += [images.x_train[train_rows], images.y_train[train_rows], images.x_val[val_rows], images.mean]
        evaluated = sampler.evaluation_images
        seen.append([*own, images.y_val[val_rows], evaluated.x_val, evaluated.y_val, plan.signature])
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_next_is_made_while_one_is_in_use() -> None:
    made: list[int] = []

    def make(item: int) -> int:
        if item == 4:
            raise InvalidInput("no fourth")
        made.append(item)
        return 10 * item

    items = prefetched(make, range(9))
    assert [next(items), next(items)] == [0, 10] and made[:2] == [0, 1]
    items.close()  # type: ignore[attr-defined]
    assert max(made) <= 2 and list(prefetched(make, range(3))) == [0, 10, 20]
    with pytest.raises(InvalidInput, match="no fourth"):
        list(prefetched(make, range(9)))


def replayed_batches(sampler: BatchSampler, keys: jax.Array) -> list[jax.Array]:
    """Return the images and soft targets of six steps of two updates each, in dispatches of two steps."""

    def rows(step: int) -> tuple[Rows, Rows]:
        return sampler.train_batches(3, 2 * step, 4).reshape(2, 2, -1), sampler.reward_batches(4, step, 2)

    steps, found = range(0, 6, 2), []
    dispatches = sampler.dispatches(rows, steps, None, lambda step, count: keys[step : step + count])
    for first, (images, train_rows, _) in zip(steps, dispatches, strict=True):
        assert images.replays is not None
        for step, update in np.ndindex(2, 2):
            key = keys[first + step, update]
            found += images.replays.batch(key, images.x_train, train_rows[step, update], 2)
    return found


def test_reinforced_images_that_are_streamed_are_the_same_in_trainings_and_searches(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = replace(ARCH, input_shape=Shape(16, 16, 3))
    train(teacher, load(str(stripes)), TrainingConfig(1, 8), tmp_path / "teacher")
    words = ["reinforce", str(stripes), "--teacher", str(tmp_path / "teacher"), "--samples", "5"]
    monkeypatch.setattr(teacher_answers, "BATCH", 16)
    assert main([*words, "--out", str(tmp_path / "set")]) == 0
    training, seen = TrainingConfig(2, 8, AdamW(0.01)), []
    monkeypatch.setitem(presets.PRESETS, "tiny", PRESET)
    config = SearchConfig(
        space="tests.support.tiny:SPACE", target="pixel6-cpu", latency_ms=0.015, data=str(tmp_path / "set"),
        resolution=32, preset="tiny", proxy_resolution=8,
    )  # fmt: skip
    keys = jax.random.split(jax.random.key(3), (6, 2))
    for name, kept in (("kept", 1 << 30), ("streamed", 0)):
        monkeypatch.setattr(image_files, "KEPT_BYTES", kept)
        monkeypatch.setattr(streaming, "PART_BYTES", 3 * 16 * 8 * 8 * 3)  # three steps of five an epoch
        train(ARCH, load(str(tmp_path / "set")), training, tmp_path / f"student-{name}")
        assert main([*words, "--out", str(tmp_path / f"set-{name}")]) == 0
        seen.append(replayed_batches(BatchSampler(make_plan(config)), keys))
    for each in ("student-{}/weights.safetensors", "student-{}/train.json", "set-{}/parts/00000.npy"):
        assert (tmp_path / each.format("kept")).read_bytes() == (tmp_path / each.format("streamed")).read_bytes(), each
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)
