"""ONNX and TFLite files: every op and padding gives the logits of nas.nn in their runtimes, or nothing is written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.errors import InvalidInput
from nas.export import packages
from nas.export.onnx import file as onnx_file
from nas.export.options import FileOptions
from nas.export.single_file import SingleFile
from nas.export.tflite import file as tflite_file
from nas.export.weights import difference, logits
from nas.nn.network import save_weights
from nas.ops import (
    FAMILIES,
    UIB,
    Conv,
    FusedIB,
    GramPool,
    Head,
    InvertedResidual,
    LogMel,
    MaxPool,
    MixConv,
    MobileMQA,
    Op,
    SeparableConv,
    Shape,
    TimeBandConv,
    Tucker,
)
from nas.registry import EXPORTERS, load
from nas.zoo import reference
from tests.export.test_export import ARCH, SAME, provenance, some_weights
from tests.ops.members import MEMBERS, input_of
from tests.support.run_folder import make_run
from tests.support.strategies import archs

for package in ("onnx", "onnxruntime", "ai_edge_litert"):
    pytest.importorskip(package, reason=f"{package} of the extra 'export' is not installed")

FORMATS = {"onnx": onnx_file.FORMAT, "tflite": tflite_file.FORMAT}
EACH: dict[str, Op] = {
    "conv": Conv(6, 5, 2, "hswish"),
    "conv-1x1-stride": Conv(6, 1, 2, "relu6"),
    "fused": FusedIB(4, 9, 3, 1, "gelu", residual=True, layer_scale=True),
    "uib": UIB(4, 6, 5, 3, 1, "relu", residual=True, layer_scale=True),
    "uib-start-stride": UIB(6, 8, 3, 0, 2),
    "uib-middle-stride": UIB(6, 8, 0, 5, 2, "none"),
    "separable": SeparableConv(6, 3, 2, "swish"),
    "inverted": InvertedResidual(4, 8, 5, 1, "hswish", 2, residual=True),
    "inverted-plain": InvertedResidual(6, 0, 3, 2, "swish", 2, se_act="swish", se_gate="sigmoid"),
    "mixconv": MixConv(6, 9, (3, 5, 7), 2, "swish", 2, 3, 2, se_act="relu"),
    "mixconv-one": MixConv(4, 8, (5,), residual=True),
    "mqa": MobileMQA(3, 4, 5),
    "tucker": Tucker(6, 2, 3, 5, 2, "swish"),
    "tucker-residual": Tucker(4, 2, 3, residual=True),
    "conv-b0": Conv(6, 3, 2, "evonorm_b0"),
    "conv-s0": Conv(6, 3, 1, "evonorm_s0"),
    "separable-gates": SeparableConv(6, 3, 2, "hswish", (5, 1), 2, 3),
    "separable-relu": SeparableConv(6, 3, 2, "relu", (), 2, 3),
    "separable-b0": SeparableConv(6, 5, 1, "evonorm_b0", (3,)),
    "fused-se": FusedIB(4, 6, residual=True, se_channels=2, se_act="swish"),
    "fused-ca": FusedIB(6, 6, 5, 2, "evonorm_s0", ca_channels=3),
    "uib-mix": UIB(6, 8, 5, 3, 2, start_mix=(3,), middle_mix=(5, 7), ca_channels=2),
    "uib-se": UIB(4, 8, 3, 0, residual=True, start_mix=(5, 7), se_channels=3, se_gate="hard_sigmoid"),
    "inverted-ca": InvertedResidual(4, 8, act="evonorm_s0", residual=True, ca_channels=3),
    "conv-ca": InvertedResidual(4, 8, act="hswish", residual=True, ca_channels=3),
    "mixconv-plain": MixConv(4, 0, (3, 5), act="evonorm_b0", residual=True, ca_channels=2),
    "mqa-strided": MobileMQA(2, 5, 3, 2, residual=False, layer_scale=False),
    "log-mel": LogMel(8000, window=16, hop=8, bands=6),
    "log-mel-sequence": LogMel(16000, 15, 10, 5, "sequence", lower_hz=60, upper_hz=7600, fft_size=32, epsilon=1e-4),
    "log-mel-fft": LogMel(8000, window=16, hop=8, bands=6, transform="fft"),
    "log-mel-fft-sequence": LogMel(16000, 15, 10, 5, "sequence", upper_hz=6000, fft_size=32, transform="fft"),
    "max-pool": MaxPool(3, 2),
    "max-pool-wide": MaxPool(5, 3),
    "gram-pool": GramPool(),
    "time-band-conv": TimeBandConv(6, 4, 2, 2, 1),
    "time-band-conv-acts": TimeBandConv(6, 10, 3, 1, 2, "hswish"),
    "time-band-conv-s0": TimeBandConv(6, 3, 4, 3, 2, "evonorm_s0"),
}


def of(op: Op, padding: Any = "symmetric", head: Head = Head()) -> ArchSpec:  # noqa: B008  a frozen value
    """A network of that op alone, on a map of odd and even size."""
    return ArchSpec(input_of(op, Shape(9, 12, 4)), ((op,),), head, 5, padding, 1e-3)


def differences(arch: ArchSpec, batch: int = 3) -> list[float]:
    """The absolute and relative differences of the files' logits from the network's; no tensor is without effect."""
    weights = some_weights(arch)
    images = np.random.default_rng(2).normal(size=(batch, *arch.input_shape)).astype(np.float32)
    scale = np.float32(1 / np.abs(logits(arch, weights, images)).max())
    weights["head.classifier.weight"] *= scale
    weights["head.classifier.bias"] *= scale  # logits of size 1: the absolute difference says something
    expected = logits(arch, weights, images)
    files = (form.run(form.bytes_of(arch, weights, provenance(arch)), images) for form in FORMATS.values())
    return [gap for found in files for gap in difference(found, expected)]


def metadata(path: Path) -> dict[str, str]:
    """Return the metadata of the file."""
    if path.suffix == ".onnx":
        import onnx

        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    from nas.export.tflite.graph import read_metadata

    return read_metadata(path.read_bytes())


@pytest.fixture(params=FORMATS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a format."""
    return str(request.param)


@pytest.fixture
def form(name: str) -> SingleFile:
    """The format of that name."""
    return FORMATS[name]


def test_every_op_is_tested() -> None:
    assert {op.tag for op in EACH.values()} == set(FAMILIES)


class Unwritten(Conv):
    """An op without a form as a graph."""

    tag = "unwritten"
    emit = Op.emit


def test_an_op_without_a_form_as_a_graph_is_refused_in_one_line() -> None:
    arch = of(Unwritten(4))
    for format_ in ("onnx", "tflite"):
        with pytest.raises(InvalidInput, match=r"op 0\.0 is unwritten, which has no form as a") as error:
            FORMATS[format_].bytes_of(arch, {}, provenance(arch))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("op", EACH)
def test_each_op_gives_the_networks_logits(op: str, padding: str) -> None:
    assert max(differences(of(EACH[op], padding))) <= 1e-4


@pytest.mark.parametrize(("padding", "half"), [("symmetric", 0), ("same", 1)])
def test_every_family_over_sequences_gives_the_networks_logits(padding: Any, half: int) -> None:
    """Windows of k x 1 on maps one wide, one family behind the other."""
    behind = [op for op in MEMBERS.values() if not op.is_front_end and op.tag not in ("time_band_conv", "gram_pool")]
    ops = [one for op in behind[half::2] for one in (op, Conv(4, 1))]
    assert max(differences(ArchSpec(Shape(40, 1, 4), (tuple(ops),), Head(), 5, padding, 1e-3))) <= 1e-4


@pytest.mark.parametrize(
    "head", [Head(), Head(7, act="hswish"), Head(7, hidden_norm=False, act="gelu"), Head(7, act="swish")]
)
def test_each_head_gives_the_networks_logits(head: Head) -> None:
    assert max(differences(of(Conv(4), head=head), batch=1)) <= 1e-4


@pytest.mark.parametrize("arch", [ARCH, SAME])
def test_whole_networks_give_the_networks_logits(arch: ArchSpec) -> None:
    assert max(differences(arch)) <= 1e-4


@given(archs(max_ops=3))
@settings(max_examples=10)
def test_any_network_gives_the_same_logits(arch: ArchSpec) -> None:
    weights = some_weights(arch)
    images = np.random.default_rng(3).normal(size=(2, *arch.input_shape)).astype(np.float32)
    expected = logits(arch, weights, images)
    for form in FORMATS.values():
        found = form.run(form.bytes_of(arch, weights, provenance(arch)), images)
        assert difference(found, expected)[1] <= 1e-4


@pytest.mark.parametrize("reference_name", ["mobilenetv4-hybrid-m", "mobilenetv3-small"])
def test_normalisation_of_references_is_folded_into_the_convolutions(reference_name: str) -> None:
    """As many Conv nodes as kernels with weights; a normalisation only where attention has one of its own."""
    from nas.export.onnx.graph import onnx_model

    arch = reference(reference_name, resolution=32)
    nodes = onnx_model(arch, lambda _, shape: np.ones(shape, np.float32), {}).graph.node
    kinds = [node.op_type for node in nodes]
    weighty = [k for k in arch.kernels if k.kind in ("conv", "pointwise", "depthwise", "dense")]
    assert kinds.count("Conv") == len(weighty)
    assert kinds.count("BatchNormalization") == sum(isinstance(op, MobileMQA) for _, op, _ in arch.iter_ops())
    assert {k.name for k in weighty} <= {node.name for node in nodes}


def test_the_file_has_metadata_and_is_the_same_twice(name: str, form: SingleFile, tmp_path: Path) -> None:
    first, second = (tmp_path / f"{letter}.{name}" for letter in "ab")
    lines = form.export(SAME, first, weights=some_weights(SAME), provenance=provenance(SAME))
    form.export(SAME, second, weights=some_weights(SAME), provenance=provenance(SAME))
    assert first.read_bytes() == second.read_bytes()
    assert "weights: trained" in lines and "largest difference of the logits" in lines[-1]
    described = metadata(first)
    assert described["spec.digest"] == SAME.digest and described["provenance.origin"] == "trained"
    assert ArchSpec.from_dict(json.loads(described["spec.json"])) == SAME
    assert described[f"version.{form.writer.replace('_', '-')}"][0].isdecimal() and "version.nas-engine" in described


def test_without_weights_a_random_initialisation_is_written_and_reported(
    name: str, form: SingleFile, tmp_path: Path
) -> None:
    out = tmp_path / f"a.{name}"
    assert "predicts nothing" in " ".join(form.export(SAME, out))
    assert metadata(out)["provenance.origin"] == "random initialisation, seed 0"


def test_what_does_not_belong_together_is_refused_and_nothing_is_left(
    form: SingleFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, proxy = some_weights(SAME), replace(SAME, input_shape=Shape(5, 5, 1))

    def refused(match: str, out: str = "out", form: SingleFile = form, **arguments: Any) -> None:
        with pytest.raises(InvalidInput, match=match) as error:
            form.export(SAME, tmp_path / out, **{"weights": weights, "provenance": provenance(SAME)} | arguments)
        assert "\n" not in str(error.value)

    (tmp_path / "taken").touch()
    refused("of another spec", provenance=provenance(proxy))
    refused("lack", weights=dict(list(weights.items())[1:]))
    refused("exists", "taken")
    refused("no folder", "absent/out")
    refused("differs by", form=replace(form, run=lambda *_: np.ones((2, 2), np.float32)))
    refused("differs by inf", form=replace(form, run=lambda *_: np.full((2, 2), np.nan, np.float32)))
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    refused(r"pip install '\.\[export\]'")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_small_shift_of_logits_of_usual_size_is_an_error_and_rounding_of_large_ones_is_not(
    form: SingleFile, tmp_path: Path
) -> None:
    weights = some_weights(SAME)
    for size, shift, fits in ((5, 2e-4, False), (5, 2e-5, True), (1e4, 1e-2, True), (1e4, 2.0, False)):
        spread = np.zeros_like(weights["head.classifier.weight"])
        bias = np.array([size, 0], np.float32)
        given = weights | {"head.classifier.weight": spread, "head.classifier.bias": bias}
        shown = np.tile(bias + np.float32(shift), (2, 1))
        shifted = replace(form, run=lambda *_, shown=shown: shown)
        out = tmp_path / f"{size}-{shift}"
        if fits:
            shifted.export(SAME, out, weights=given, provenance=provenance(SAME))
        else:
            with pytest.raises(InvalidInput, match="differs by"):
                shifted.export(SAME, out, weights=given, provenance=provenance(SAME))
        assert out.exists() == fits


def test_without_the_runtime_the_file_is_written_unverified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "onnxruntime" else name)
    lines = onnx_file.export(SAME, tmp_path / "a.onnx")
    assert lines[-1].startswith("not verified") and (tmp_path / "a.onnx").exists()


def test_the_command_writes_trained_weights_with_their_origin(
    name: str, form: SingleFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_arch(SAME, tmp_path / "small.json")
    save_weights(tmp_path / "weights.safetensors", some_weights(SAME), SAME, "trained")
    assert main(["export", "small.json", "--format", name, "--weights", "weights.safetensors"]) == 0
    shown = capsys.readouterr().out
    assert f"wrote small.{name}" in shown and "weights: trained" in shown
    assert load("format", EXPORTERS, name) == form.export


def test_the_file_of_a_run_names_it_and_its_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", count=3)
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "onnxruntime" else name)
    assert main(["export", str(run), "--random-weights", "--format", "onnx", "-o", str(tmp_path / "a.onnx")]) == 0
    described = metadata(tmp_path / "a.onnx")
    assert described["provenance.run"] == "run" and described["provenance.seed"].isdecimal()
    assert "random initialisation" in described["provenance.origin"]


def opset_and_ir(content: bytes) -> tuple[int, int]:
    """Return the opset and the IR version of an ONNX file."""
    import onnx

    model = onnx.load_from_string(content)
    return model.opset_import[0].version, model.ir_version


ONNX_OPSETS = {"conv": (14, 7), "inverted-plain": (13, 7), "uib": (13, 7), "mqa": (13, 7), "fused": (20, 9)}


@pytest.mark.parametrize("op", ONNX_OPSETS)
def test_an_onnx_file_has_the_lowest_opset_that_its_operators_need(op: str) -> None:
    arch = of(EACH[op])
    content = onnx_file.FORMAT.bytes_of(arch, some_weights(arch), provenance(arch))
    assert opset_and_ir(content) == ONNX_OPSETS[op]


@pytest.mark.parametrize(("op", "opset"), [("conv", 11), ("fused", 13), ("fused", 17), ("mqa", 11), ("mixconv", 13)])
def test_operators_that_an_older_opset_lacks_are_composed_of_others(op: str, opset: int) -> None:
    arch = of(EACH[op])
    weights, images = some_weights(arch), np.random.default_rng(2).normal(size=(2, *arch.input_shape)).astype("f4")
    content = onnx_file.FORMAT.bytes_of(arch, weights, provenance(arch), options=FileOptions(opset=opset))
    assert opset_and_ir(content)[0] == opset
    assert difference(onnx_file.run(content, images), logits(arch, weights, images))[1] <= 1e-5


def test_an_opset_that_cannot_be_is_refused_with_the_operator_and_the_lowest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_arch(of(EACH["mixconv"]), tmp_path / "mix.json")
    command = ["export", str(tmp_path / "mix.json"), "-o", str(tmp_path / "x"), "--format"]
    for flags, expected in (
        (["onnx", "--opset", "12"], "operator Split needs ONNX opset 13"),
        (["onnx", "--opset", "99"], "knows opsets up to"),
        (["tflite", "--opset", "13"], "no option opset; it goes with onnx"),
    ):
        assert main([*command, *flags]) == 2
        assert expected in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mix.json"]
    assert (
        main(["export", str(tmp_path / "mix.json"), "-o", str(tmp_path / "x"), "--format", "onnx", "--opset", "15"])
        == 0
    )
    assert opset_and_ir((tmp_path / "x").read_bytes()) == (15, 8)


def test_mobilenet_v2_is_read_by_runtimes_of_opset_13() -> None:
    arch = reference("mobilenetv2", width=0.35, resolution=96)
    model = onnx_file.content(arch, lambda _, shape: np.ones(shape, np.float32), {})
    assert opset_and_ir(model) == (13, 7)
