"""The timm export: block strings, names and shapes that timm's classes have, whole folders; run by timm where it is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from nas.arch import ArchSpec
from nas.cli import main
from nas.errors import InvalidInput
from nas.export.timm import folder as timm_folder
from nas.export.timm.blocks import TimmNetwork, timm_network
from nas.nn.network import weight_shapes
from nas.ops import UIB, Conv, FusedIB, Head, InvertedResidual, MobileMQA, SeparableConv, Shape, Tucker
from nas.registry import EXPORTERS, load
from nas.zoo import ZOO, reference
from tests.export.test_export import SAME, provenance, some_weights
from tests.export.test_single_file import of

STEM = Conv(8, 3, 2)
MIXED = ArchSpec(
    Shape(32, 32, 3),
    (
        (STEM, SeparableConv(8, 3, 2), UIB(16, 32, 3, 5, 2), UIB(16, 32, 3, 0, residual=True, layer_scale=True)),
        (InvertedResidual(16, 48, 5, act="hswish", se_channels=4), InvertedResidual(16, 0, 3, 2, "relu"),
         FusedIB(16, 32, layer_scale=True), MobileMQA(2, 8, 8, 2), Conv(24, 1)),
    ),
    Head(32), 5,
)  # fmt: skip

REFUSED = {
    "mobilenet-edgetpu": "without activation", "mobilenetv2-ca": "coordinate attention",
    "mobileone-s4": "squeeze-excite", "mobiledet-dsp": "is tucker", "mobiledet-edgetpu": "is tucker",
}  # fmt: skip


def translated(arch: ArchSpec) -> TimmNetwork:
    """Return the network translated to timm, with random weights."""
    weights = some_weights(arch)
    return timm_network(arch, lambda name, _: weights[name])


def test_the_block_strings_of_mobilenetv4_are_those_that_timm_publishes() -> None:
    """timm 1.0.31, models/mobilenetv3.py, _gen_mobilenet_v4, variants conv small and hybrid medium."""
    small = translated(reference("mobilenetv4-conv-s", resolution=32))
    assert small.kind == "MobileNetV3" and small.act == "relu"
    assert small.arch_def == [
        ["cn_r1_k3_s2_c32", "cn_r1_k1_s1_c32"],
        ["cn_r1_k3_s2_c96", "cn_r1_k1_s1_c64"],
        ["uir_r1_a5_k5_s2_e3_c96", *["uir_r1_a0_k3_s1_e2_c96"] * 4, "uir_r1_a3_k0_s1_e4_c96"],
        ["uir_r1_a3_k3_s2_e6_c128", "uir_r1_a5_k5_s1_e4_c128", "uir_r1_a0_k5_s1_e4_c128", "uir_r1_a0_k5_s1_e3_c128",
         *["uir_r1_a0_k3_s1_e4_c128"] * 2],
        ["cn_r1_k1_s1_c960"],
    ]  # fmt: skip
    assert small.settings["num_features"] == 1280 and small.settings["head_norm"]
    hybrid = translated(reference("mobilenetv4-hybrid-m", resolution=32))
    assert hybrid.arch_def[0] == ["er_r1_k3_s2_e4_c48"] and hybrid.settings["layer_scale_init_value"] == 1e-5
    assert hybrid.arch_def[2][:5] == [
        "uir_r1_a3_k5_s2_e6_c160", "uir_r1_a0_k0_s1_e2_c160", "uir_r1_a3_k3_s1_e4_c160", "uir_r1_a3_k5_s1_e4_c160",
        "mqa_r1_k3_h4_s1_v2_d64_c160",
    ]  # fmt: skip


def test_every_number_of_the_network_is_in_the_file_once() -> None:
    arch = replace(MIXED, stages=tuple(tuple(_without_scale(op) for op in stage) for stage in MIXED.stages))
    weights = some_weights(arch)
    network = timm_network(arch, lambda name, _: weights[name])
    trained = [value for name, value in network.tensors.items() if not name.endswith("num_batches_tracked")]
    for gather in (
        lambda values: sum(v.size for v in values),
        lambda values: sum(float(np.square(v).sum()) for v in values),
    ):
        assert gather(trained) == pytest.approx(gather(weights.values()), rel=1e-6)


def _without_scale(op: Any) -> Any:
    return replace(op, layer_scale=False) if hasattr(op, "layer_scale") else op


def test_block_strings_state_strides_skips_and_activations() -> None:
    network = translated(MIXED)
    assert network.arch_def == [
        ["dsa_r1_k3_s2_c8"],
        ["uir_r1_a3_k5_s2_e4_c16", "uir_r1_a3_k0_s1_e2_c16"],
        ["ir_r1_k5_e3_s1_c16_se0.083333333333333329_nhs_noskip"],
        ["ds_r1_k3_s2_c16", "er_r1_k3_s1_e2_c16_noskip", "mqa_r1_k3_h2_s1_v2_d8_c16", "cn_r1_k1_s1_c24"],
    ]
    assert network.squeeze_excite == {"act": "relu", "gate": "hard_sigmoid"}
    bare = translated(replace(MIXED, head=Head()))
    assert bare.kind == "EfficientNet" and bare.settings["num_features"] == 24
    assert bare.arch_def[-1][-1].startswith("mqa") and "conv_head.weight" in bare.tensors
    assert not any("layer_scale" in name for name in bare.tensors)


@pytest.mark.parametrize(
    ("ops", "word"),
    [
        ((Conv(8, 3, 1),), "stem"),
        ((STEM, UIB(8, 12)), "multiples of 8"),
        ((STEM, Conv(8, act="none")), "without activation"),
        ((STEM, Conv(8, act="gelu")), "gelu"),
        ((STEM, Tucker(8, 4, 4)), "is tucker"),
        ((STEM, Conv(8, act="evonorm_s0")), "EvoNorm-S0"),
        ((STEM, FusedIB(8, 16, ca_channels=4)), "coordinate attention"),
        ((STEM, UIB(8, 16, se_channels=4)), "squeeze-excite"),
        ((STEM, SeparableConv(8, mix=(5,))), "several kernel sizes"),
        ((STEM, MobileMQA(2, 8, 4)), "value channels"),
        ((STEM, *[SeparableConv(8, 3, 2)] * 5), "multiply to 64"),
        (
            (STEM, InvertedResidual(8, 16, se_channels=4), InvertedResidual(8, 16, se_channels=4, se_act="swish")),
            "kind",
        ),
    ],
)
def test_what_timm_cannot_build_is_refused_in_one_line(ops: tuple[Any, ...], word: str, tmp_path: Path) -> None:
    arch = ArchSpec(Shape(64, 64, 3), (ops,), Head(8), 4)
    with pytest.raises(InvalidInput, match=word) as error:
        timm_folder.export(arch, tmp_path / "a", weights=some_weights(arch), provenance=provenance(arch))
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())
    with pytest.raises(InvalidInput, match="head's activation"):
        translated(of(STEM, head=Head(8, act="hswish")))


def test_the_folder_is_whole_and_the_same_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_folder, "installed", lambda _: False)
    settings: dict[str, Any] = {"weights": some_weights(MIXED), "provenance": provenance(MIXED)}
    lines = timm_folder.export(MIXED, tmp_path / "a", **settings)
    timm_folder.export(MIXED, tmp_path / "b", **settings)
    assert lines[-1].startswith("not verified") and {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "network.json", "model.safetensors", "build.py", "README.md"
    }  # fmt: skip
    for name in ("network.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    about = json.loads((tmp_path / "a" / "network.json").read_text())
    assert about["metadata"]["spec.digest"] == MIXED.digest and about["input_size"] == [32, 32, 3]
    stored = safetensors.numpy.load_file(tmp_path / "a" / "model.safetensors")
    assert stored["conv_stem.weight"].shape == (8, 3, 3, 3) and stored["bn1.num_batches_tracked"].dtype == np.int64
    with pytest.raises(InvalidInput, match="not empty"):
        timm_folder.export(MIXED, tmp_path / "a", **settings)


def test_a_wrong_network_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_folder, "installed", lambda _: True)
    monkeypatch.setattr(timm_folder, "run", lambda *_: np.zeros((2, 5), np.float32))
    with pytest.raises(InvalidInput, match="differs by"):
        timm_folder.export(MIXED, tmp_path / "a")
    monkeypatch.undo()
    monkeypatch.setattr(timm_folder, "installed", lambda _: True)
    with pytest.raises(InvalidInput, match="of another spec"):
        timm_folder.export(MIXED, tmp_path / "a", weights=some_weights(SAME), provenance=provenance(SAME))
    assert not list(tmp_path.iterdir())


def test_a_builder_that_fails_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "build.py").write_text("raise SystemExit('first\\nlast')")
    with pytest.raises(InvalidInput, match="timm does not build this network: last"):
        timm_folder.run(tmp_path, np.zeros((1, 2, 2, 1), np.float32))


@pytest.mark.parametrize("name", ZOO)
def test_every_reference_has_block_strings_or_is_refused_in_one_line(name: str) -> None:
    arch = reference(name, resolution=32)
    if name in REFUSED:
        with pytest.raises(InvalidInput, match=REFUSED[name]):
            timm_network(arch, lambda _, __: np.zeros((1, 1, 1, 1), np.float32))
        return
    zeros = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(arch).items()}
    network = timm_network(arch, lambda tensor, _: zeros[tensor])
    assert sum(map(len, network.arch_def)) + 1 + ("bn2.weight" in network.tensors) == sum(map(len, arch.stages))


def test_a_mixnet_has_the_tensors_and_strings_of_timms() -> None:
    path = Path(__file__).parents[3] / "shared" / "reference" / "golden" / "mixnet_s.json"
    if not path.exists():
        pytest.skip("../shared is not beside the project: no outside tensor lists")
    arch = reference("mixnet-s")
    network = translated(arch)
    outside = {name: tuple(shape) for name, shape, kind in json.loads(path.read_text())["tensors"]}
    ours = {name: value.shape for name, value in network.tensors.items() if not name.endswith("num_batches_tracked")}
    assert ours == outside
    assert network.arch_def[3][0] == "ir_r1_k3.5.7_e6_p1.1_s2_c80_se0.25_nsw"


def test_timm_gives_the_same_logits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for package in ("torch", "timm"):
        pytest.importorskip(package, reason=f"{package} is not installed: the timm export is not verified here")
    assert load("format", EXPORTERS, "timm") is timm_folder.export
    for name in ("mobilenetv4-conv-s@64px", "mobilenetv4-hybrid-m@64px"):
        assert main(["export", name, "--format", "timm", "-o", str(tmp_path / name)]) == 0
        assert "checked in timm" in capsys.readouterr().out
