"""ONNX files: ONNX Runtime gives the logits of nas.nn for every op and both paddings, or none is written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_export import ARCH, SAME, provenance, some_weights

from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.errors import InvalidInput
from nas.export import onnx_file, packages
from nas.export.weights import difference, logits
from nas.nn.network import save_weights
from nas.ops import OPS, UIB, Conv, FusedIB, Head, InvertedResidual, MixConv, MobileMQA, Op, SeparableConv, Shape
from nas.registry import EXPORTERS, load
from nas.zoo import reference

onnx = pytest.importorskip("onnx", reason="the package onnx of the extra 'export' is not installed")
pytest.importorskip("onnxruntime", reason="the package onnxruntime of the extra 'export' is not installed")
from nas.export import onnx_ops  # noqa: E402  needs onnx

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
    "mqa-strided": MobileMQA(2, 5, 3, 2, residual=False, layer_scale=False),
}


def of(op: Op, padding: Any = "symmetric", head: Head = Head()) -> ArchSpec:  # noqa: B008  a frozen value
    """A network of that op alone, on a map of odd and even size."""
    return ArchSpec(Shape(9, 12, 4), ((op,),), head, 5, padding, 1e-3)


def differences(arch: ArchSpec, batch: int = 3) -> tuple[float, float]:
    """The absolute and relative difference of the file's logits from the network's; no tensor is without effect."""
    weights = some_weights(arch)
    pictures = np.random.default_rng(2).normal(size=(batch, *arch.input_shape)).astype(np.float32)
    wanted = logits(arch, weights, pictures)
    scale = np.float32(1 / np.abs(wanted).max())
    weights["head.classifier.weight"] *= scale
    weights["head.classifier.bias"] *= scale  # logits of size 1: the absolute difference says something
    found = onnx_file.run_model(onnx_file.model_bytes(arch, weights, provenance(arch)), pictures)
    return difference(found, logits(arch, weights, pictures))


def test_every_op_is_tested() -> None:
    assert {op.tag for op in EACH.values()} == set(OPS) == {op.tag for op in onnx_ops.LOWERINGS}


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("name", EACH)
def test_each_op_gives_the_networks_logits(name: str, padding: str) -> None:
    assert max(differences(of(EACH[name], padding))) <= 1e-4


@pytest.mark.parametrize("head", [Head(), Head(7, act="hswish"), Head(7, hidden_norm=False, act="gelu")])
def test_each_head_gives_the_networks_logits(head: Head) -> None:
    assert max(differences(of(Conv(4), head=head), batch=1)) <= 1e-4


@pytest.mark.parametrize("arch", [ARCH, SAME])
def test_whole_networks_give_the_networks_logits(arch: ArchSpec) -> None:
    assert max(differences(arch)) <= 1e-4


@pytest.mark.parametrize("name", ["mobilenetv4-hybrid-m", "mobilenetv3-small"])
def test_normalisation_of_references_is_folded_into_the_convolutions(name: str) -> None:
    """As many Conv and Gemm nodes as kernels with weights; a normalisation only where attention has one of its own."""
    arch = reference(name, resolution=32)
    model = onnx_ops.lower(arch, lambda _, shape: np.ones(shape, np.float32))
    kinds = [node.op_type for node in model.graph.node]
    weighty = [k for k in arch.kernels if k.kind in ("conv", "pointwise", "depthwise", "dense")]
    assert kinds.count("Conv") + kinds.count("Gemm") == len(weighty)
    assert kinds.count("BatchNormalization") == sum(isinstance(op, MobileMQA) for _, op, _ in arch.walk())
    assert {k.name for k in weighty} <= {node.name for node in model.graph.node}


def test_the_file_says_what_it_is_and_is_the_same_twice(tmp_path: Path) -> None:
    lines = onnx_file.export(SAME, tmp_path / "a.onnx", weights=some_weights(SAME), provenance=provenance(SAME))
    onnx_file.export(SAME, tmp_path / "b.onnx", weights=some_weights(SAME), provenance=provenance(SAME))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert "weights: trained" in lines and "largest difference of the logits" in lines[-1]
    model = onnx.load(tmp_path / "a.onnx")
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["spec.digest"] == SAME.digest and said["provenance.origin"] == "trained"
    assert ArchSpec.from_dict(json.loads(said["spec.json"])) == SAME
    assert said["version.onnx"] == onnx.__version__ and "version.nas-engine" in said
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param and not batch.dim_value


def test_without_weights_a_random_initialisation_is_written_and_said(tmp_path: Path) -> None:
    lines = onnx_file.export(SAME, tmp_path / "a.onnx")
    assert "predicts nothing" in " ".join(lines)
    said = {entry.key: entry.value for entry in onnx.load(tmp_path / "a.onnx").metadata_props}
    assert said["provenance.origin"] == "random initialisation, seed 0"


def test_what_does_not_belong_together_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, proxy = some_weights(SAME), replace(SAME, input_shape=Shape(5, 5, 1))

    def refused(match: str, out: str = "out.onnx", **arguments: Any) -> None:
        with pytest.raises(InvalidInput, match=match) as error:
            onnx_file.export(SAME, tmp_path / out, **{"weights": weights, "provenance": provenance(SAME)} | arguments)
        assert "\n" not in str(error.value)

    (tmp_path / "taken.onnx").touch()
    refused("of another spec", provenance=provenance(proxy))
    refused("lack", weights=dict(list(weights.items())[1:]))
    refused("exists", "taken.onnx")
    refused("no folder", "absent/out.onnx")
    monkeypatch.setattr(onnx_file, "run_model", lambda *_: np.ones((2, 2), np.float32))
    refused("differs by")
    monkeypatch.setattr(onnx_file, "run_model", lambda *_: np.full((2, 2), np.nan, np.float32))
    refused("differs by inf")
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    refused(r"pip install 'nas-engine\[export\]'")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.onnx"]


def test_without_onnxruntime_the_file_is_written_unverified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "onnxruntime" else name)
    lines = onnx_file.export(SAME, tmp_path / "a.onnx")
    assert lines[-1].startswith("not verified") and (tmp_path / "a.onnx").exists()


def test_the_command_writes_trained_weights_with_their_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_arch(SAME, tmp_path / "small.json")
    save_weights(tmp_path / "weights.safetensors", some_weights(SAME), SAME, "trained")
    assert main(["export", "small.json", "--format", "onnx", "--weights", "weights.safetensors"]) == 0
    shown = capsys.readouterr().out
    assert "wrote small.onnx" in shown and "weights: trained" in shown
    assert load("export format", EXPORTERS, "onnx") is onnx_file.export
