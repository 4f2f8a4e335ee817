"""What an export says of input and classes: cases 05, 06 and 07, in the metadata, on the card and beside the file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.data import build_dataset
from nas.data.dataset import Labelled
from nas.data.input_spec import InputSpec, Signature
from nas.errors import InvalidInput
from nas.export import json_file
from nas.export.calibration import TrainingData, build_calibration
from nas.export.flax import folder as flax_folder
from nas.export.interface import Interface, companions, files_beside, preprocessor_config
from nas.export.onnx import file as onnx_file
from nas.export.sources import find_weights
from nas.export.stablehlo import file as stablehlo_file
from nas.export.tflite import file as tflite_file
from nas.export.tflite import int8_file as tflite_int8_file
from nas.export.timm import folder as timm_folder
from nas.files import dump_json, read_json, write_whole
from nas.ops import Conv, Head, Shape
from nas.records.trainings import training_of_run
from nas.training.loop import TrainingConfig, train
from tests.export.test_export import provenance, some_weights
from tests.export.test_single_file import metadata
from tests.support.run_folder import make_run

for package in ("onnx", "onnxruntime", "ai_edge_litert"):
    pytest.importorskip(package, reason=f"{package} of the extra 'export' is not installed")

NAMES = ("1", "10", "2")  # in the order of folders
ARCH = ArchSpec(Shape(8, 8, 3), ((Conv(4, 3, 2),),), Head(), 3)
SIGNATURE = Signature(InputSpec(8, 8, 3, (0.1, 0.2, 0.3), (0.21, 0.22, 0.23), fit="pad", background=7), NAMES)
FILES = {"onnx": onnx_file, "tflite": tflite_file, "stablehlo": stablehlo_file}
FOLDERS = {"flax": flax_folder, "timm": timm_folder}


def numbers(count: int, classes: int = 3, seed: int = 0, names: tuple[str, ...] = NAMES) -> Any:
    """Return a data set of noise in colour, each channel of its own mean and spread."""
    rng = np.random.default_rng(seed)
    x = (rng.uniform(size=(count, 8, 8, 3)) * (90, 150, 255)).astype(np.uint8)
    y = np.arange(count, dtype=np.int32) % classes
    half = count // 2
    return build_dataset(f"noise{seed}", Labelled(x[:half], y[:half]), Labelled(x[half:], y[half:]), class_names=names)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of some steps."""
    folder = tmp_path_factory.mktemp("work") / "t"
    train(ARCH, numbers(48), TrainingConfig(epochs=1, batch_size=8), folder)
    return folder


@pytest.mark.parametrize("form", ["onnx", "tflite", "stablehlo", "flax"])
def test_an_export_of_a_training_has_its_class_names_and_its_normalisation(
    form: str, training: Path, tmp_path: Path
) -> None:
    """Cases 05 and 06."""
    stated = read_json(training / "train.json")
    assert stated["class_names"] == list(NAMES)
    out = tmp_path / f"x.{form}"
    assert main(["export", str(training), "--format", form, "-o", str(out)]) == 0
    folder = out if form == "flax" else tmp_path
    card = (out / "README.md" if form == "flax" else tmp_path / f"x.{form}.md").read_text()
    assert "| 1 | 10 |" in card and (folder / "labels.txt").read_text() == "1\n10\n2\n"
    mean = " ".join(f"{value:.6g}" for value in stated["input"]["mean"])
    assert f"with mean {mean} and std" in next(line for line in card.splitlines() if "normalised" in line)
    if form == "flax":
        return
    described = read_json(tmp_path / "x.stablehlo.json") if form == "stablehlo" else metadata(out)
    assert json.loads(described["class_names"]) == list(NAMES) and described["input.mean"] == mean
    assert described["input.layout"] == ("NCHW" if form == "onnx" else "NHWC") and described["input.fit"] == "crop"
    assert Signature.from_dict(json.loads(described["signature.json"])) == Signature.from_dict(stated)
    config = read_json(tmp_path / "preprocessor_config.json")
    assert config["image_mean"] == stated["input"]["mean"] and config["do_normalize"]


def test_every_format_says_how_an_image_becomes_the_input(tmp_path: Path) -> None:
    given: dict[str, Any] = {"weights": some_weights(ARCH), "provenance": provenance(ARCH), "signature": SIGNATURE}
    timm_folder.export(ARCH, tmp_path / "timm", **given)
    lines = json_file.export(ARCH, tmp_path / "a.json", **given)
    assert lines and read_json(tmp_path / "a.json")["metadata"]["input.fit"] == "pad"
    for card in (tmp_path / "timm" / "README.md", tmp_path / "a.json.md"):
        text = card.read_text()
        assert text.startswith("---\nlicense: unknown\npipeline_tag: image-classification\nlibrary_name: ")
        assert "all of it, on the background (fit pad)" in text and "mean 0.1 0.2 0.3, std 0.21 0.22 0.23" in text
        assert "grey level 7" in text and "| 1 | 10 |" in text
    assert (tmp_path / "timm" / "labels.txt").exists()


def test_the_front_matter_is_yaml_with_what_hubs_read(tmp_path: Path) -> None:
    known = provenance(ARCH) | {"data": "/some/where/my: pictures"}
    onnx_file.export(ARCH, tmp_path / "a.onnx", weights=some_weights(ARCH), provenance=known, signature=SIGNATURE)
    _, front, _ = (tmp_path / "a.onnx.md").read_text().split("---\n", 2)
    assert front.splitlines() == [
        "license: unknown", "pipeline_tag: image-classification", "library_name: onnx", "tags:",
        "- image-classification", "- onnx", "- nas-engine", "datasets:", '- "my: pictures"', "metrics:", "- accuracy",
    ]  # fmt: skip


def test_without_a_signature_the_card_says_so_and_nothing_is_invented(tmp_path: Path) -> None:
    onnx_file.export(ARCH, tmp_path / "a.onnx", weights=some_weights(ARCH), provenance=provenance(ARCH))
    text = (tmp_path / "a.onnx.md").read_text()
    assert "Mean, std and class names are not known" in text and "nas train" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "a.onnx.md"]
    assert "class_names" not in metadata(tmp_path / "a.onnx")


def test_a_signature_of_another_network_is_refused(tmp_path: Path) -> None:
    for wrong in (
        replace(SIGNATURE, class_names=("a", "b")),
        replace(SIGNATURE, input=replace(SIGNATURE.input, height=9)),
    ):
        for module in (*FILES.values(), *FOLDERS.values(), json_file):
            with pytest.raises(InvalidInput, match="the weights were trained with images of"):
                module.export(ARCH, tmp_path / "a", signature=wrong)
    assert not list(tmp_path.iterdir())


def test_files_beside_are_shared_by_equal_networks_and_named_after_the_file_by_others(tmp_path: Path) -> None:
    files = {"labels.txt": "a\nb\n"}
    assert files_beside(tmp_path / "x.onnx", files) == {tmp_path / "labels.txt": "a\nb\n"}
    write_whole(tmp_path / "labels.txt", "a\nb\n")
    assert files_beside(tmp_path / "x.tflite", files) == {}
    write_whole(tmp_path / "labels.txt", "b\na\n")
    assert files_beside(tmp_path / "x.onnx", files) == {tmp_path / "x.onnx.labels.txt": "a\nb\n"}


@given(st.sampled_from(["crop", "pad", "squash"]), st.sampled_from([1, 3]), st.lists(st.text(), min_size=2, max_size=5))
@settings(max_examples=25)
def test_labels_are_one_line_each_and_the_preprocessor_has_the_numbers(
    fit: Any, channels: int, names: list[str]
) -> None:
    spec = InputSpec(6, 6, channels, (0.5,) * channels, (0.25,) * channels, fit=fit)
    files = companions(Signature(spec, tuple(names)), Interface("in to out", "onnx"))
    assert files["labels.txt"].count("\n") == len(names)
    config = preprocessor_config(spec, Interface("in to out", "onnx", dtype="uint8"))
    assert config["image_std"] == [0.25] * channels and not config["do_normalize"] and not config["do_rescale"]
    assert 6 in (*config["size"].values(),) and config["do_convert_rgb"] == (channels == 3)


# ----------------------------------------------------------------------------------------------------------------- int8


def test_int8_is_normalised_as_in_training_and_other_images_are_named(tmp_path: Path) -> None:
    """Case 07: calibrated with data of other classes; the check is on the training data's test images."""
    own, other = numbers(48), numbers(48, classes=2, seed=1, names=("a", "b"))
    trained_on = TrainingData("noise0", is_calibration=False, dataset=own)
    calibration = build_calibration(ARCH, other, signature=SIGNATURE, trained_on=trained_on)
    assert calibration.mean == SIGNATURE.input.mean and calibration.std == SIGNATURE.input.std
    assert (calibration.check_images == SIGNATURE.input.normalised(own.x_test)).all()
    weights = some_weights(ARCH)
    lines = tflite_int8_file.export(
        ARCH, tmp_path / "x.tflite",
        weights=weights, provenance=provenance(ARCH), signature=SIGNATURE, calibration=calibration,
    )  # fmt: skip
    card = (tmp_path / "x.tflite.md").read_text()
    for text in ("\n".join(lines), card):
        assert "calibrated with noise1, which is not the data of the training (noise0)" in text
        assert "noise1 has other classes than the network: 2 (a, b); the network has 3 (1, 10, 2)" in text
        assert "test images of noise0" in text
    assert "with mean 0.1 0.2 0.3 and std 0.21 0.22 0.23" in card
    assert metadata(tmp_path / "x.tflite")["input.dtype"] == "int8"


def test_int8_says_where_the_training_data_was_not_found_and_nothing_where_it_is_the_same() -> None:
    lost = TrainingData("gone", is_calibration=False, missing="it was not found here")
    notes = build_calibration(ARCH, numbers(48), signature=SIGNATURE, trained_on=lost).notes
    assert (
        len(notes) == 2 and "not checked on the test images of the training's data, gone: it was not found" in notes[1]
    )
    same = TrainingData("noise0", is_calibration=True)
    found = build_calibration(ARCH, numbers(48), signature=SIGNATURE, trained_on=same)
    assert found.notes == () and found.check_labels is not None and found.check_data == ""


# --------------------------------------------------------------------------------------------------- a run's training


def test_a_run_is_exported_with_its_training_or_refused_unless_random_weights_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", count=3)
    command = ["export", str(run), "--format", "stablehlo", "-o", str(tmp_path / "x")]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert f"nas deploy {run}" in error and "--random-weights" in error and error.count("\n") == 1
    assert main(["export", str(run), "--format", "json", "-o", str(tmp_path / "x.json")]) == 0
    assert training_of_run(run) is None
    digest = read_json(run / "best.json")["digest"]
    for name in ("run-other", "train-run-digits-s0"):
        (tmp_path / name).mkdir()
        write_whole(tmp_path / name / "train.json", dump_json({"digest": digest if "digits" in name else "0" * 64}))
    assert find_weights(str(run), "onnx") == tmp_path / "train-run-digits-s0"
    assert find_weights(str(run), "onnx", random_weights=True) is None
    (tmp_path / "run-deployed" / "training").mkdir(parents=True)
    write_whole(tmp_path / "run-deployed" / "training" / "train.json", dump_json({"digest": digest}))
    assert find_weights(str(run), "onnx") == tmp_path / "run-deployed" / "training"


def test_a_spec_or_a_reference_is_exported_with_random_weights_as_before(tmp_path: Path) -> None:
    save_arch(ARCH, tmp_path / "a.json")
    assert find_weights(str(tmp_path / "a.json"), "onnx") is None and find_weights("mobilenetv2", "onnx") is None
    with pytest.raises(InvalidInput, match="exclude each other"):
        find_weights("mobilenetv2", "onnx", "w", random_weights=True)
