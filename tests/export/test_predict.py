"""predict.py beside exports: the pixels of the engine, its logits, and class names, without this package."""

import ast
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.arch import ArchSpec
from nas.data import resize
from nas.data.framing import read_image
from nas.data.input_spec import InputSpec, Signature
from nas.errors import InvalidInput
from nas.export.calibration import Int8Calibration
from nas.export.flax import folder as flax_folder
from nas.export.interface import predict_of
from nas.export.onnx import file as onnx_file
from nas.export.onnx import int8_file as onnx_int8_file
from nas.export.options import FileOptions, uint8_input
from nas.export.predict.script import predict_script
from nas.export.stablehlo import file as stablehlo_file
from nas.export.tflite import file as tflite_file
from nas.export.tflite import int8_file as tflite_int8_file
from nas.export.weights import logits
from nas.ops import Conv, Head, Shape, Size
from tests.export.test_export import provenance
from tests.export.test_int8 import scaled_weights

for package in ("onnx", "onnxruntime", "ai_edge_litert"):
    pytest.importorskip(package, reason=f"{package} of the extra 'export' is not installed")

ARCH = ArchSpec(Shape(12, 12, 3), ((Conv(8, 3, 2),),), Head(), 3)
NAMES = ("disc", "ches s", "stripes")
SPEC = InputSpec(12, 12, 3, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), fit="pad", background=90)
FLOAT = {"onnx": onnx_file, "tflite": tflite_file, "stablehlo": stablehlo_file, "flax": flax_folder}
INT8 = {"onnx": onnx_int8_file, "tflite": tflite_int8_file}


def save_images(folder: Path) -> list[Path]:
    """Write images of several sizes, modes and formats; one is turned by its EXIF tag."""
    rng = np.random.default_rng(0)
    found = []
    for name, mode, size in (
        ("a.jpg", "RGB", (40, 31)), ("b.png", "RGBA", (15, 22)), ("c.png", "L", (9, 30)), ("d.png", "P", (33, 12)),
        ("e.jpg", "L", (200, 170)), ("f.png", "LA", (12, 12)),
    ):  # fmt: skip
        pixels = rng.integers(0, 256, size=(size[1], size[0], 4)).astype(np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "a.jpg" else 1  # orientation
        Image.fromarray(pixels, "RGBA").convert("RGB" if name.endswith("jpg") else "RGBA").convert(mode).save(
            folder / name, exif=exif
        )
        found.append(folder / name)
    return found


def exported(form: str, kind: str, folder: Path) -> Path:
    """Export the network in a format, float32 or int8, for float32 or uint8 images; return the folder of predict.py."""
    given: dict[str, Any] = {"weights": scaled_weights(ARCH), "provenance": provenance(ARCH)}
    given |= {"signature": Signature(SPEC, NAMES)}
    if kind.endswith("uint8"):
        given["options"] = FileOptions(SPEC)
    if kind.startswith("int8"):
        images = SPEC.normalised(np.random.default_rng(1).integers(0, 256, (32, 12, 12, 3)).astype(np.uint8))
        given["calibration"] = Int8Calibration("noise", "0" * 64, SPEC.mean, SPEC.std, images, images, None)
        INT8[form].export(ARCH, folder / f"x.{form}", **given)
    else:
        FLOAT[form].export(ARCH, folder / f"x.{form}", **given)
    return folder / f"x.{form}" if form == "flax" else folder


CASES = [(form, "float32") for form in FLOAT] + [("tflite", "int8"), ("tflite", "int8 uint8"), ("flax", "uint8")]


@pytest.mark.parametrize(("form", "kind"), CASES)
def test_the_program_gives_the_engines_class_and_logits(form: str, kind: str, tmp_path: Path) -> None:
    folder, images = exported(form, kind, tmp_path), save_images(tmp_path)
    command = [sys.executable, "-B", str(folder / "predict.py"), "--json", *map(str, images)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, env={"JAX_PLATFORMS": "cpu"})
    assert done.returncode == 0, done.stderr
    pixels = np.stack([read_image(path, 12, 3, SPEC.framing) for path in images])
    expected = logits(ARCH, scaled_weights(ARCH), SPEC.normalised(pixels))
    for path, line, own in zip(images, done.stdout.splitlines(), expected, strict=True):
        found = json.loads(line)
        assert found["image"] == str(path) and 1 / 3 < found["probability"] <= 1
        tolerance = 0.1 * np.abs(expected).max() if kind.startswith("int8") else 1e-5
        assert np.abs(np.array(found["logits"]) - own).max() <= tolerance
        if kind == "float32":
            assert found["class"] == NAMES[own.argmax()]


@pytest.mark.parametrize("kind", ["float32", "uint8", "int8 uint8", "int8"])
def test_its_input_is_bit_for_bit_that_of_the_engine(kind: str, tmp_path: Path) -> None:
    folder, images = exported("onnx", kind, tmp_path), save_images(tmp_path)
    program = runpy.run_path(str(folder / "predict.py"))
    about, _ = program["open_model"](tmp_path / "x.onnx")
    for path in images:
        pixels = read_image(path, 12, 3, SPEC.framing)[None]
        own = pixels if kind.endswith("uint8") else SPEC.normalised(pixels).transpose(0, 3, 1, 2)
        found = program["as_input"](path, about)
        assert found.dtype == own.dtype and (found == own).all()


def test_what_is_printed_and_what_is_no_image(tmp_path: Path) -> None:
    folder = exported("onnx", "float32", tmp_path)
    (image, *_), text = save_images(tmp_path), tmp_path / "a.txt"
    text.write_text("no image")

    def run(*args: Path) -> Any:
        command = [sys.executable, "-B", str(folder / "predict.py"), *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    line = run(image).stdout
    assert line.startswith(f"{image}: ") and line.rstrip().endswith("%") and any(name in line for name in NAMES)
    failed = run(text)
    assert failed.returncode == 1 and failed.stderr.startswith(f"cannot read the image {text}")
    assert "Traceback" not in failed.stderr and "usage: predict.py" in run().stderr


@pytest.mark.parametrize("shape", [(16, 6, 2), (16, 1, 3)])
def test_arrays_become_inputs_as_in_training(shape: tuple[int, int, int], tmp_path: Path) -> None:
    """Maps and sequences in .npy files, in the shapes that data sets take, of the size of the input or another."""
    spec = InputSpec(*shape, (5.0, -3.0, 0.5)[: shape[2]], (2.0, 9.0, 0.25)[: shape[2]], values="numbers")
    onnx_file.export(ArchSpec(Shape(*shape), ((Conv(4, 3, 2),),), Head(), 3), tmp_path / "x.onnx",
                     signature=Signature(spec, NAMES))  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.txt", "predict.py", "x.onnx", "x.onnx.md"]
    program = runpy.run_path(str(tmp_path / "predict.py"))
    about, _ = program["open_model"](tmp_path / "x.onnx")
    for rows, columns in ((1, 1), (2, 1), (3, 1 if shape[1] == 1 else 2)):
        x = np.random.default_rng(rows).normal(3, 9, (shape[0] * rows, shape[1] * columns, shape[2])).astype(np.float32)
        np.save(tmp_path / "a.npy", x if shape[1] > 1 else x[:, 0])
        found = program["as_input"](tmp_path / "a.npy", about)
        own = spec.normalised(resize(x[None], Size(*shape[:2]))).transpose(0, 3, 1, 2)
        assert found.dtype == np.float32 and np.abs(found - own).max() <= (0 if rows == 1 else 1e-5)
    np.save(tmp_path / "a.npy", np.zeros((16, 1, 9), np.float32))
    with pytest.raises(SystemExit, match=r"a.npy must hold finite numbers of the shape \[16, "):
        program["as_input"](tmp_path / "a.npy", about)
    (tmp_path / "a.npy").write_text("no array")
    with pytest.raises(SystemExit, match="cannot read the array"):
        program["as_input"](tmp_path / "a.npy", about)
    with pytest.raises(InvalidInput, match="this network takes numbers"):
        uint8_input("uint8", Signature(spec, NAMES))


@pytest.mark.parametrize("form", ["onnx", "tflite", "stablehlo", "flax"])
def test_the_program_needs_nothing_of_this_package(form: str) -> None:
    tree = ast.parse(predict_script(form, 'a "quoted" \\ name', "jax"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [node for node in imported if ast.unparse(node).split()[1].partition(".")[0] == "nas"]
    assert "quoted" in (ast.get_docstring(tree) or "")


def test_a_program_is_found_by_the_file_that_it_is_for(tmp_path: Path) -> None:
    exported("onnx", "float32", tmp_path)
    assert predict_of(tmp_path / "x.onnx") == tmp_path / "predict.py" and predict_of(tmp_path / "y.onnx") is None
    exported("tflite", "float32", tmp_path)
    assert predict_of(tmp_path / "x.tflite") == tmp_path / "x.tflite.predict.py"
