"""Int8 files: calibrated, close to the float32 network; full-integer TFLite of the Edge TPU compiler's operators."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.data import Preparation, build_dataset, load
from nas.data import signature as signature_of
from nas.errors import InvalidInput
from nas.export import packages
from nas.export.calibration import Int8Calibration, build_calibration, load_calibration
from nas.export.onnx import int8_file as onnx_int8_file
from nas.export.options import FileOptions
from nas.export.quantised_file import QuantisedFile, agreement, relative_error
from nas.export.tflite import edgetpu
from nas.export.tflite import int8_file as tflite_int8_file
from nas.export.weights import logits
from nas.measure.random_weights import random_tensor
from nas.ops import UIB, Conv, Head, InvertedResidual, LogMel, MixConv, MobileMQA, SeparableConv, Shape
from nas.ops.fields import EVONORMS
from nas.quantisation.program import program_of
from nas.registry import INT8_EXPORTERS
from nas.registry import load as load_member
from nas.zoo import ZOO, reference
from tests.export.test_export import provenance, some_weights
from tests.export.test_single_file import EACH, metadata, of
from tests.support.sounds import tone_arrays
from tests.support.tiny import images

for package in ("onnx", "onnxruntime", "ai_edge_litert"):
    pytest.importorskip(package, reason=f"{package} of the extra 'export' is not installed")

ROUNDING = 0.1  # a wrong operator gives errors of about 1
FORMATS = {"onnx": onnx_int8_file.FORMAT, "tflite": tflite_int8_file.FORMAT}
SMALL = ArchSpec(
    Shape(16, 16, 3),
    (
        (Conv(8, 3, 2, "hswish"), UIB(8, 16, 3, 5, residual=True), SeparableConv(8, 3, 2, "swish")),
        (
            InvertedResidual(8, 24, 5, se_channels=4, act="hswish", residual=True),
            MixConv(12, 24, (3, 5), 1, "swish", 2, 2, se_channels=3, se_act="swish"),
            UIB(16, 16, 0, 0, act="relu6"),
        ),
    ),
    Head(20, hidden_norm=False, act="hswish"),
    4,
)
UNSAFE = ("gelu", *EVONORMS)
FLOAT_ONLY = ("mobile_mqa", "log_mel", "gram_pool")
SAFE = {name: op for name, op in EACH.items() if op.tag not in FLOAT_ONLY and getattr(op, "act", "") not in UNSAFE}


def scaled_weights(arch: ArchSpec) -> dict[str, Any]:
    """Return weights that keep the size of activations, as trained ones do; every tensor has an effect."""
    sampled, rng = some_weights(arch), np.random.default_rng(4)
    for name, value in sampled.items():
        kind = name.rpartition(".")[2]
        noise = 0.2 * rng.uniform(-1, 1, size=value.shape)
        if kind == "weight":
            sampled[name] = random_tensor(name, value.shape)
        else:
            sampled[name] = (noise if kind in ("bias", "mean") else 1 + noise).astype(np.float32)
    return sampled


def noise(arch: ArchSpec, count: int = 32) -> Int8Calibration:
    """Return a calibration with normal numbers as images; checked on the same ones, so that none is out of range."""
    sampled = np.random.default_rng(5).normal(size=(count, *arch.input_shape)).astype(np.float32)
    return Int8Calibration("noise", "0" * 64, (0.0,), (1.0,), sampled, sampled, None)


def int8_of(form: QuantisedFile, arch: ArchSpec, calibration: Int8Calibration) -> tuple[bytes, str]:
    """Return the bytes of a file, and the text about its int8 operators."""
    weights = scaled_weights(arch)
    return form.content(arch, lambda name, _: np.asarray(weights[name]), {}, calibration)


@pytest.fixture(params=FORMATS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a format."""
    return str(request.param)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("op", SAFE)
def test_each_op_in_int8_is_close_to_the_network(op: str, padding: Any) -> None:
    arch = of(SAFE[op], padding)
    calibration, weights = noise(arch), scaled_weights(arch)
    expected = logits(arch, weights, calibration.check_images)
    for form in FORMATS.values():
        found = form.run(int8_of(form, arch, calibration)[0], calibration.check_images)
        assert relative_error(found, expected) <= ROUNDING


def test_a_whole_network_is_close_and_what_is_not_is_refused(tmp_path: Path, name: str) -> None:
    form, calibration = FORMATS[name], build_calibration(SMALL, images(resolution=12))
    assert calibration.images.shape == (160, 16, 16, 3) and calibration.check_images.shape == (40, 16, 16, 3)
    settings: dict[str, Any] = {"weights": scaled_weights(SMALL), "provenance": provenance(SMALL)}
    settings["calibration"] = calibration
    out = tmp_path / f"a.{name}"
    lines = form.export(SMALL, out, **settings)
    assert "same class as float32 on" in lines[-1] and "in float32" in lines[-1] and lines[-2].startswith("int8: ")
    again = tmp_path / f"b.{name}"
    form.export(SMALL, again, **settings)
    assert out.read_bytes() == again.read_bytes()
    described = metadata(out)
    assert described["spec.digest"] == SMALL.digest
    assert described["provenance.calibration"] == "160 training images of quarters"
    assert len(described["provenance.input_mean"].split()) == 1
    card = (tmp_path / f"a.{name}.md").read_text()
    assert lines[-1] in card and calibration.provenance()["input_std"] in card
    wrong = replace(form, run=lambda _, images: np.ones((len(images), 4), np.float32))
    with pytest.raises(InvalidInput, match="are off by"):
        wrong.export(SMALL, tmp_path / "c", **settings)
    with pytest.raises(InvalidInput, match="exists"):
        form.export(SMALL, out, **settings)
    assert {path.name for path in tmp_path.iterdir()} == {f"{one}.{name}{end}" for one in "ab" for end in ("", ".md")}


def test_every_convolution_of_an_onnx_file_is_int8() -> None:
    _, text = int8_of(FORMATS["onnx"], SMALL, noise(SMALL, 8))
    convs = sum(kernel.kind in ("conv", "pointwise", "depthwise") for kernel in SMALL.kernels)
    assert f"{convs + 6} of {convs + 6} Conv" in text  # two squeeze-excites of two each, and the head


@pytest.mark.parametrize("network", ZOO)
def test_each_operator_of_each_reference_is_one_that_the_edge_tpu_compiler_supports(network: str) -> None:
    from nas.export.tflite.int8 import int8_model, operators

    arch = reference(network, resolution=32)
    if any(isinstance(op, MobileMQA) for _, op, _ in arch.iter_ops()):
        with pytest.raises(InvalidInput, match="mobile_mqa") as error:
            tflite_int8_file.export(arch, Path("never"), calibration=noise(SMALL, 1))
        assert "\n" not in str(error.value)
        return
    ranges = dict.fromkeys(program_of(arch).roots, (-1.0, 1.0))  # any: the operators do not depend on them
    model = int8_model(arch, lambda _, shape: np.zeros(shape, np.float32), ranges, {})
    used = set(operators(model))
    assert used <= edgetpu.supported_operators()
    assert {"CONV_2D", "FULLY_CONNECTED", "MEAN"} <= used
    assert edgetpu.operators_text(operators(model)).startswith("int8: all")


def test_a_full_integer_file_has_integers_and_fixed_sizes_only() -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(int8_of(FORMATS["tflite"], SMALL, noise(SMALL, 8))[0])
    (graph,) = model.subgraphs
    kinds = {tensor.type for tensor in graph.tensors}
    assert kinds == {schema.TensorType.INT8, schema.TensorType.INT32}
    assert all(tensor.shapeSignature is None and min(tensor.shape) >= 1 for tensor in graph.tensors)
    by_channel = [one for one in graph.tensors if one.name.endswith(b".expand.weight")]
    assert all(len(one.quantization.scale) == one.shape[0] > 1 for one in by_channel) and by_channel
    for index in (graph.inputs[0], graph.outputs[0]):
        assert graph.tensors[index].type == schema.TensorType.INT8


def test_a_channel_of_zero_weights_keeps_its_bias() -> None:
    """The smallest scale of a weight follows the bias, which is whole steps of it."""
    arch = of(Conv(4, 1, act="none"))
    weights, calibration = scaled_weights(arch), noise(arch)
    weights["0.0.conv.weight"][:, 0] = 0
    weights["0.0.conv.bias"][0] = 3.0
    tflite = FORMATS["tflite"]
    found = tflite.run(
        tflite.content(arch, lambda name, _: weights[name], {}, calibration)[0], calibration.check_images
    )
    assert relative_error(found, logits(arch, weights, calibration.check_images)) <= ROUNDING


def test_a_gram_pool_in_int8_is_close_to_the_network_in_onnx() -> None:
    arch = of(EACH["gram-pool"])
    calibration, weights = noise(arch), scaled_weights(arch)
    found = FORMATS["onnx"].run(int8_of(FORMATS["onnx"], arch, calibration)[0], calibration.check_images)
    assert relative_error(found, logits(arch, weights, calibration.check_images)) <= ROUNDING


def test_a_calibration_finds_the_data_as_the_training_prepared_them(tmp_path: Path) -> None:
    """Keywords and a split by group are told from the names of the classes and the digest."""
    arch = ArchSpec(Shape(400, 1, 1), ((LogMel(2000, 50, 25, 8), Conv(4)),), Head(), 4)
    values = tone_arrays(per_class=12, speakers=6)
    values["speaker_test"] = np.resize(values["speaker_train"], len(values["y_test"]))
    np.savez(tmp_path / "tones.npz", **values)
    path = str(tmp_path / "tones.npz")
    for prepared in (Preparation(keywords=("low", "mid"), silence=True, group="speaker"), Preparation(group="speaker")):
        data = load(path, preparation=prepared)
        known = {"data": path, "data_digest": data.digest}
        found = load_calibration(arch, path, signature=signature_of(data, arch.input_shape), provenance=known)
        assert found.data_digest == data.digest and found.check_labels is not None
        assert not any("classes" in note or "changed" in note for note in found.notes)
    other = {"data": path, "data_digest": "0" * 64}
    found = load_calibration(arch, path, signature=signature_of(data, arch.input_shape), provenance=other)
    assert found.data_digest == load(path).digest and any("changed" in note for note in found.notes)


def test_networks_that_the_edge_tpu_compiler_cannot_take_are_refused_in_one_line(tmp_path: Path) -> None:
    for arch, word in (
        (of(EACH["mqa"]), "mobile_mqa"),
        (of(EACH["gram-pool"]), "gram_pool"),
        (of(EACH["fused"]), "gelu"),
        (of(Conv(4), head=Head(7, act="gelu")), "gelu"),
    ):
        with pytest.raises(InvalidInput, match=word) as error:
            tflite_int8_file.export(arch, tmp_path / "a", calibration=noise(arch, 2))
        assert "\n" not in str(error.value)
    for op, word in (("conv-b0", "EvoNorm-B0"), ("inverted-ca", "EvoNorm-S0")):
        for export, said in ((onnx_int8_file.export, word), (tflite_int8_file.export, EACH[op].act)):  # type: ignore[attr-defined]
            with pytest.raises(InvalidInput, match=said) as error:
                export(of(EACH[op]), tmp_path / "a", calibration=noise(of(EACH[op]), 2))
            assert "\n" not in str(error.value)
    with pytest.raises(InvalidInput, match="BATCH_MATMUL"):
        edgetpu.operators_text(["CONV_2D", "BATCH_MATMUL"])
    assert not list(tmp_path.iterdir())


def test_images_that_do_not_fit_are_refused() -> None:
    colour = build_dataset("colour", *(2 * [_colour(images().x_train, images().y_train)]))
    grey = replace(SMALL, input_shape=Shape(16, 16, 1))
    with pytest.raises(InvalidInput, match="takes 1 channels, but colour has 3"):
        build_calibration(grey, colour)
    wide = build_calibration(replace(SMALL, input_shape=Shape(16, 12, 3)), colour, check_images=3)
    assert wide.images.shape[1:] == (16, 12, 3) and "changes their proportions" in wide.data_notes[-1]
    assert build_calibration(replace(SMALL, num_classes=7), colour, check_images=3).check_labels is None


def _colour(x: Any, y: Any) -> Any:
    from nas.data import Labelled

    return Labelled(np.repeat(x, 3, axis=-1), y)


def test_measures_of_agreement() -> None:
    expected = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert relative_error(expected, expected) == 0 and relative_error(expected * 1.1, expected) == pytest.approx(0.1)
    assert relative_error(expected[:1], expected) == np.inf == relative_error(expected * np.nan, expected)
    assert relative_error(np.ones((1, 4)), np.zeros((1, 4))) == 2
    assert agreement(np.array([[0.0, 1], [1, 0]]), np.array([[0.0, 1], [0, 1]])) == 0.5


def test_the_command_quantises_with_a_named_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    arch = replace(SMALL, num_classes=10, input_shape=Shape(8, 8, 1))
    save_arch(arch, tmp_path / "small.json")
    command = ["export", "small.json", "--format", name, "--quantize", "int8"]
    assert load_member("format", INT8_EXPORTERS, name) == FORMATS[name].export
    for refused, word in (
        (command, "--calibration"),
        ([*command, "--calibration", "nowhere"], "nowhere"),
        (["export", "small.json", "--format", name, "--calibration", "digits"], "--quantize"),
        ([*command[:-1], "int4", "--calibration", "digits"], "int4"),
        (["export", "small.json", "--format", "flax", "--quantize", "int8"], "no int8 form"),
    ):
        assert main(refused) == 2
        assert word in capsys.readouterr().err
    assert main([*command, "--calibration", "digits"]) == 0
    shown = capsys.readouterr().out
    assert f"wrote small-int8.{name}:" in shown and "test images of digits" in shown
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    assert main([*command, "--calibration", "digits", "-o", "b"]) == 2
    assert "pip install" in capsys.readouterr().err and not Path("b").exists()


def test_an_int8_onnx_file_keeps_the_opset_and_needs_one_with_scales_per_channel() -> None:
    arch, weights = of(EACH["conv-1x1-stride"]), scaled_weights(of(EACH["conv-1x1-stride"]))

    def opset_of(asked: int | None) -> int:
        import onnx

        options = FileOptions(opset=asked)
        content, _ = onnx_int8_file.content(
            arch, lambda name, _: np.asarray(weights[name]), {}, noise(arch, 4), options
        )
        return int(onnx.load_from_string(content).opset_import[0].version)

    assert [opset_of(asked) for asked in (None, 17)] == [13, 17]
    with pytest.raises(InvalidInput, match="DequantizeLinear needs ONNX opset 13"):
        opset_of(12)


@pytest.mark.parametrize(("layout", "transform"), [("map", "matmul"), ("sequence", "matmul"), ("map", "fft")])
def test_a_log_mel_front_end_stays_in_floats_in_front_of_the_integers(
    layout: Any, transform: Any, tmp_path: Path
) -> None:
    front = LogMel(8000, 32, 16, 8, layout, transform=transform)
    arch = ArchSpec(Shape(160, 1, 1), ((front, UIB(6, 8, 3, 3, 2)),), Head(), 4)
    for name, form in FORMATS.items():
        lines = form.export(
            arch, tmp_path / f"{layout}.{name}", calibration=noise(arch), weights=scaled_weights(arch),
            provenance=provenance(arch),
        )  # fmt: skip
        assert any("error 0.0" in line for line in lines)
    assert any("in float32, the log-mel front end, which the Edge TPU has not" in line for line in lines)
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_path=str(tmp_path / f"{layout}.tflite"))
    (takes,), (gives,) = network.get_input_details(), network.get_output_details()
    assert (takes["dtype"], gives["dtype"]) == (np.float32, np.int8)
