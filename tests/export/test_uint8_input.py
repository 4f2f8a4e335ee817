"""Files that take uint8 images, which the graph normalises: the logits of the float route, borders included."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.data.input_spec import InputSpec, Signature
from nas.errors import InvalidInput
from nas.export.calibration import Int8Calibration, pixels_of
from nas.export.flax import folder as flax_folder
from nas.export.onnx import file as onnx_file
from nas.export.onnx import int8_file as onnx_int8_file
from nas.export.options import FileOptions, exporter_arguments, uint8_input
from nas.export.quantised_file import relative_error
from nas.export.stablehlo import file as stablehlo_file
from nas.export.tflite import file as tflite_file
from nas.export.tflite import int8_file as tflite_int8_file
from nas.export.weights import difference, logits
from nas.ops import UIB, Conv, Head, SeparableConv, Shape
from tests.export.test_export import provenance
from tests.export.test_int8 import scaled_weights
from tests.export.test_single_file import metadata

for package in ("onnx", "onnxruntime", "ai_edge_litert"):
    pytest.importorskip(package, reason=f"{package} of the extra 'export' is not installed")

FORMATS = {"onnx": onnx_file.FORMAT, "tflite": tflite_file.FORMAT, "stablehlo": stablehlo_file.FORMAT}
INT8_FORMATS = {"onnx": onnx_int8_file.FORMAT, "tflite": tflite_int8_file.FORMAT}
SPECS = {
    "colour": InputSpec(10, 10, 3, (0.1, 0.5, 0.9), (0.05, 0.2, 0.4)),
    "grey": InputSpec(10, 10, 1, (0.8,), (0.1,), colour_order="grey"),
    "grey-in-three": InputSpec(10, 10, 3, (0.7,) * 3, (0.2,) * 3),
}


def network(channels: int, padding: Any = "same") -> ArchSpec:
    """Return a network whose first convolution pads: a mean in the padding would show."""
    return ArchSpec(Shape(10, 10, channels), ((Conv(8, 5, 2), UIB(8, 16, 3, 3), SeparableConv(8)),), Head(), 4, padding)


def pixels(spec: InputSpec, count: int = 24) -> Any:
    """Return uint8 images of every level, the brightest and the darkest among them."""
    sampled = np.random.default_rng(1).integers(0, 256, size=(count, spec.height, spec.width, spec.channels))
    sampled[0], sampled[1] = 0, 255
    return sampled.astype(np.uint8)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_logits_are_those_of_normalised_images(form: str, spec: InputSpec) -> None:
    for padding in ("same", "symmetric"):
        arch = network(spec.channels, padding)
        weights, images = scaled_weights(arch), pixels(spec)
        file = FORMATS[form].bytes_of(arch, weights, provenance(arch), None, FileOptions(spec))
        expected = logits(arch, weights, spec.normalised(images))
        assert max(difference(FORMATS[form].run(file, images), expected)) <= 1e-5


@pytest.mark.parametrize("form", INT8_FORMATS)
def test_int8_files_choose_what_they_choose_from_normalised_images(form: str) -> None:
    spec = SPECS["colour"]
    arch, images = network(3), pixels(spec)
    weights, normalised = scaled_weights(arch), spec.normalised(images)
    calibration = Int8Calibration("noise", "0" * 64, spec.mean, spec.std, normalised, normalised, None)
    content, run = INT8_FORMATS[form].content, INT8_FORMATS[form].run
    of_floats, of_pixels = (
        content(arch, lambda name, _: weights[name], {}, calibration, options)[0]
        for options in (FileOptions(), FileOptions(spec))
    )
    expected = logits(arch, weights, normalised)
    assert relative_error(run(of_floats, normalised), expected) <= 0.1
    assert relative_error(run(of_pixels, images), expected) <= 0.1
    assert relative_error(run(of_pixels, images), run(of_floats, normalised)) <= 0.03  # a step of int8 here and there


def test_a_full_integer_file_quantises_its_uint8_input_itself() -> None:
    from nas.export.tflite.edgetpu import supported_operators
    from nas.export.tflite.int8 import operators

    spec = SPECS["colour"]
    arch, normalised = network(3), spec.normalised(pixels(spec))
    weights = scaled_weights(arch)
    calibration = Int8Calibration("noise", "0" * 64, spec.mean, spec.std, normalised, normalised, None)
    content, _ = tflite_int8_file.content(arch, lambda name, _: weights[name], {}, calibration, FileOptions(spec))
    found = operators(content)
    assert found[:2] == ["QUANTIZE", "DEPTHWISE_CONV_2D"] and set(found) <= supported_operators()


@pytest.mark.parametrize("form", [*FORMATS, "flax", "int8"])
def test_the_file_says_that_it_takes_uint8_images(form: str, tmp_path: Path) -> None:
    spec = SPECS["colour"]
    arch, out = network(3), tmp_path / "out"
    given: dict[str, Any] = {"weights": scaled_weights(arch), "provenance": provenance(arch)}
    given |= {"signature": Signature(spec, ("a", "b", "c", "d")), "options": FileOptions(spec)}
    normalised = spec.normalised(pixels(spec))
    calibration = Int8Calibration("noise", "0" * 64, spec.mean, spec.std, normalised, normalised, None)
    if form == "int8":
        tflite_int8_file.export(arch, out, calibration=calibration, **given)
    else:
        (flax_folder if form == "flax" else FORMATS[form]).export(arch, out, **given)
    card = (out / "README.md" if form == "flax" else tmp_path / "out.md").read_text()
    assert "images uint8 [" in card and "tensor: uint8, NHWC; pixels 0 to 255; the graph normalises them" in card
    if form == "onnx":
        import onnx

        assert {one.key: one.value for one in onnx.load(out).metadata_props}["input.dtype"] == "uint8"
    if form in ("tflite", "int8"):
        assert metadata(out)["input.dtype"] == "uint8"


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(1 / 255, 1))
@settings(max_examples=30)
def test_pixels_come_back_from_normalised_images(seed: int, mean: float, std: float) -> None:
    spec = InputSpec(3, 3, 1, (mean,), (std,))
    images = np.random.default_rng(seed).integers(0, 256, size=(2, 3, 3, 1)).astype(np.uint8)
    assert (pixels_of(spec.normalised(images), spec) == images).all()


def test_what_cannot_be_is_refused_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_arch(replace(network(3), num_classes=3), tmp_path / "a.json")
    command = ["export", str(tmp_path / "a.json"), "-o", str(tmp_path / "x"), "--format", "onnx", "--input"]
    for kind, expected in (("uint8", "mean and the std of the training"), ("uint16", "one of float32, uint8")):
        assert main([*command, kind]) == 2
        error = capsys.readouterr().err
        assert expected in error and error.count("\n") == 1
    with pytest.raises(InvalidInput, match="timm has no option uint8 input; it goes with onnx, tflite"):
        exporter_arguments("timm", FileOptions(SPECS["grey"]))
    assert uint8_input("float32", None) is None
