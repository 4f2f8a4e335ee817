"""Training for int8: delayed, ranges that move and are then fixed, resumed to the same bytes, exported as it is."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.arch import ArchSpec
from nas.errors import InvalidInput, Stopped
from nas.export.calibration import TrainingData, build_calibration
from nas.export.sources import load_source
from nas.nn.network import load_weights
from nas.ops import Conv, Head, InvertedResidual, Shape
from nas.quantisation.forward import fake_quantised_outputs, output_step
from nas.records.ranges import ranges_of
from nas.training.loop import INT8, TRAIN, TrainingConfig, TrainingProgress, train
from nas.training.optimizers import AdamW
from nas.training.qat import int8_outputs
from nas.training.qat_config import QATConfig
from nas.training.step import image_splits
from tests.support.tiny import images

ARCH = ArchSpec(
    Shape(8, 8, 1),
    ((Conv(6, 3, 2, "hswish"), InvertedResidual(6, 12, 3, se_channels=4, act="relu6", residual=True)),),
    Head(8, act="hswish"),
    4,
)
QAT = QATConfig(share=0.4, rate=0.5)
CONFIG = TrainingConfig(epochs=5, batch_size=40, optimizer=AdamW(learning_rate=0.01), qat=QAT)
FILES = ("weights.safetensors", "train.json", "ranges.json")


@pytest.fixture(scope="module")
def data() -> Any:
    return images()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Any) -> tuple[Path, list[TrainingProgress]]:
    out, events = tmp_path_factory.mktemp("qat") / "whole", list[TrainingProgress]()
    train(ARCH, data, CONFIG, out, events.append)
    return out, events


def test_the_last_steps_are_in_int8(trained: Any) -> None:
    out, events = trained
    stages = {stage: max(one.steps for one in events if one.stage == stage) for stage in (TRAIN, INT8)}
    assert stages == {TRAIN: 12, INT8: 8}
    stated = json.loads((out / "train.json").read_text())
    assert stated["steps"] == 20 and stated["settings"]["qat"]["share"] == 0.4
    assert 0 <= stated["int8_accuracy"]["top1"] <= 1
    ranges = ranges_of(out, ARCH.digest)
    assert ranges is not None and all(low <= 0 <= high for low, high in ranges.values())


def test_ranges_are_running_averages_that_end_fixed(tmp_path: Path, data: Any, trained: Any) -> None:
    ranges = ranges_of(trained[0], ARCH.digest)
    never = QATConfig(share=0.4, rate=0.5, fixed_share=1.0)
    train(ARCH, data, TrainingConfig(5, 40, AdamW(learning_rate=0.01), qat=never), tmp_path / "fixed")
    fixed = ranges_of(tmp_path / "fixed", ARCH.digest)
    assert ranges is not None and fixed is not None and ranges.keys() == fixed.keys()
    moved = [abs(ranges[name][1] - fixed[name][1]) / fixed[name][1] for name in ranges]
    assert 0 < max(moved) < 0.2  # four steps at a hundredth each


def test_a_stopped_training_goes_on_to_the_same_bytes(tmp_path: Path, data: Any, trained: Any) -> None:
    out = tmp_path / "stopped"

    def stop(event: TrainingProgress) -> None:
        if event.stage == INT8 and event.step >= 3:
            raise Stopped

    with pytest.raises(KeyboardInterrupt):
        train(ARCH, data, CONFIG, out, stop)
    assert any((out / "checkpoints-int8").glob("*")) and not (out / "ranges.json").exists()
    killed = tmp_path / "killed"  # as by kill -9: what the steps in int8 had kept is lost
    shutil.copytree(out, killed)
    shutil.rmtree(killed / "checkpoints-int8")
    for folder in (out, killed):
        train(ARCH, data, CONFIG, folder)
        for name in FILES:
            assert (folder / name).read_bytes() == (trained[0] / name).read_bytes(), name


def test_the_test_is_that_of_the_forward_pass_of_files(data: Any, trained: Any) -> None:
    weights, _ = load_weights(trained[0] / "weights.safetensors", ARCH)
    ranges = ranges_of(trained[0], ARCH.digest)
    assert ranges is not None
    _, split = image_splits(data)
    found = int8_outputs(ARCH, weights, ranges, split)
    normalised = np.asarray(split.inputs(split.x, ARCH))
    expected = fake_quantised_outputs(ARCH, lambda name, _: weights[name], ranges, normalised)
    assert np.abs(found - expected).max() <= 1.01 * output_step(ARCH, ranges)
    stated = json.loads((trained[0] / "train.json").read_text())["int8_accuracy"]["top1"]
    assert stated == pytest.approx(float((found.argmax(1) == data.y_test).mean()))


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_files_have_the_ranges_of_the_training(tmp_path: Path, data: Any, trained: Any, form: str) -> None:
    pytest.importorskip("ai_edge_litert" if form == "tflite" else "onnxruntime")
    from nas.export.onnx.int8_file import export as onnx
    from nas.export.tflite.int8_file import export as tflite

    source = load_source(ARCH, str(trained[0]), trained[0])
    own = TrainingData(data.name, is_calibration=True)
    calibration = build_calibration(ARCH, data, signature=source.signature, trained_on=own, ranges=source.ranges)
    export = {"tflite": tflite, "onnx": onnx}[form]
    lines = export(ARCH, tmp_path / f"a.{form}", calibration=calibration, **source.arguments())
    assert "ranges: those of the quantisation-aware training" in lines
    found = re.fullmatch(
        r"against the fake-quantised forward pass: ([\d.]+)% of the outputs within one step.*", lines[-1]
    )
    assert found is not None
    assert float(found[1]) == 100


def test_settings_that_cannot_be_are_refused(tmp_path: Path, data: Any) -> None:
    for wrong in ({"share": 0.0}, {"rate": 2.0}, {"fixed_share": -1.0}):
        with pytest.raises(InvalidInput, match="must lie above 0 and up to 1"):
            QATConfig(**wrong)
    norm_free = ArchSpec(Shape(8, 8, 1), ((Conv(4, 3, 2, "evonorm_b0"),),), Head(0), 4)
    with pytest.raises(InvalidInput, match="EvoNorm"):
        train(norm_free, data, CONFIG, tmp_path / "e")


def test_damaged_ranges_are_refused_in_one_line(tmp_path: Path, trained: Any) -> None:
    text = (trained[0] / "ranges.json").read_text()
    for wrong, words in (("{", "ranges.json"), (text.replace(ARCH.digest, "0" * 64), "no ranges of this network")):
        (tmp_path / "ranges.json").write_text(wrong)
        with pytest.raises(InvalidInput, match=words):
            ranges_of(tmp_path, ARCH.digest)
    assert ranges_of(tmp_path / "none", ARCH.digest) is None
