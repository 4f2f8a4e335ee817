"""From images to a prediction, following printed lines only: nas search, nas deploy, python predict.py IMAGE."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data import Dataset, ImageFiles, at_resolution
from nas.export.weights import logits
from nas.files import read_json
from nas.nn.network import load_weights
from nas.records.networks import load_trained
from nas.records.signatures import signature_of
from nas.runs.single_training import training_data

pytest.importorskip("ai_edge_litert", reason="ai_edge_litert of the extra 'export' is not installed")
IMAGES_PER_CLASS = 60
FILE_KINDS = (("jpg", "RGB"), ("png", "RGB"), ("png", "L"), ("png", "RGBA"))  # ending and mode, in turn
Run = Callable[..., str]


def stripes(x: Any, y: Any, rng: np.random.Generator) -> Any:
    """Return where the bright stripes are; x and y in units of the shorter side."""
    return (rng.choice([x, y]) * rng.uniform(5, 9)).astype(int) % 2


def checks(x: Any, y: Any, rng: np.random.Generator) -> Any:
    """Return where the bright squares of a chessboard are."""
    period = rng.uniform(5, 9)
    return ((x * period).astype(int) + (y * period).astype(int)) % 2


def discs(x: Any, y: Any, rng: np.random.Generator) -> Any:
    """Return where a bright disc is, in the middle."""
    return (x - x.max() / 2) ** 2 + (y - y.max() / 2) ** 2 < rng.uniform(0.25, 0.4) ** 2


def save_images(folder: Path) -> None:
    """Write images of three classes, of many sizes, colours, modes and both formats."""
    rng = np.random.default_rng(0)
    for shape in (stripes, checks, discs):
        (folder / shape.__name__).mkdir(parents=True)
        for index in range(IMAGES_PER_CLASS):
            height, width = rng.integers(40, 90, 2)
            y, x = np.mgrid[:height, :width] / min(height, width)
            dark, bright = rng.integers(0, 90, 3), rng.integers(160, 256, 3)
            pixels = np.where(shape(x, y, rng)[..., None], bright, dark).astype(np.uint8)
            ending, mode = FILE_KINDS[index % len(FILE_KINDS)]
            Image.fromarray(pixels).convert(mode).save(folder / shape.__name__ / f"{index}.{ending}")


def next_commands(shown: str, word: str) -> Iterator[list[str]]:
    """Yield the commands of the lines `next: ...` that have the word."""
    for line in shown.splitlines():
        if line.startswith("next: ") and f" {word}" in f" {line}":
            yield shlex.split(line.removeprefix("next: "))


def predictions(command: list[str], images: list[Path]) -> list[dict[str, Any]]:
    """Return what `python predict.py IMAGE`, as it was printed, says of the images."""
    python, program, placeholder = command
    assert (python, placeholder) == ("python", "IMAGE")
    line = [sys.executable, "-B", program, "--json", *map(str, images)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return [json.loads(one) for one in done.stdout.splitlines()]


def files_of_test(dataset: Dataset) -> list[Path]:
    """Return the files of the test images, in the order of their labels."""
    assert isinstance(dataset.x_test, ImageFiles)
    return [file.path for file in dataset.x_test.files()]


def test_a_folder_of_images_becomes_a_program_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    save_images(tmp_path / "shapes")
    search = ["search", "--target", "rpi5", "--latency-ms", "1", "--preset", "smoke", "--data", "shapes"]
    found = out(*search, "--resolution", "32", "--out", "run")
    _, *deploy = next(next_commands(found, "deploy"))
    training = ["--epochs", "12", "--batch-size", "16", "--format", "tflite"]
    of_int8 = next(next_commands(out(*deploy, *training, "--quantize", "int8"), "python"))
    of_float = next(next_commands(out(*deploy, *training), "python"))

    folder = Path("run-deployed", "training")
    dataset = training_data("run", folder, None, None)
    images, names = files_of_test(dataset), np.array(dataset.class_names)
    right = [
        found["class"] == names[label]
        for found, label in zip(predictions(of_int8, images), dataset.y_test, strict=True)
    ]
    assert np.mean(right) >= 0.95 and read_json(folder / "train.json")["accuracy"]["top1"] >= 0.95

    arch, signature = load_trained(folder)[0], signature_of(folder)
    weights, _ = load_weights(folder / "weights.safetensors", arch)
    pixels = at_resolution(dataset, arch.input_shape.height).x_test[:4]
    assert signature is not None
    expected = logits(arch, weights, signature.input.normalised(pixels))
    floats = predictions(of_float, images[:4])
    assert np.abs([found["logits"] for found in floats] - expected).max() <= 1e-4
    assert [found["class"] for found in predictions(of_int8, images[:4])] == list(names[expected.argmax(1)])
