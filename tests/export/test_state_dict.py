"""Weights from outside: what goes to timm comes back, partial files start a training, files that do not fit say so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.errors import InvalidInput
from nas.export.timm.blocks import timm_network
from nas.export.timm.state_dict import from_state_dict
from nas.export.weight_files import read_weights, start_weights
from nas.nn.network import get_weights, random_network, save_weights, weight_shapes
from nas.ops import UIB, Conv, FusedIB, Head, InvertedResidual, MixConv, MobileMQA, Op, SeparableConv, Shape
from nas.zoo import reference

STEM = (Conv(8, 3, 2),)
SHAPE = Shape(16, 16, 3)
EXCITED = InvertedResidual(8, 16, 5, 2, "relu", 4, se_gate="sigmoid")
BODIES: dict[str, tuple[tuple[Op, ...], ...]] = {
    "plain": (
        (FusedIB(8, 16, 3, 2), SeparableConv(8, 3, 1)), (EXCITED, InvertedResidual(16, 0, 3, 1, "relu")), (Conv(24, 1),)
    ),
    "mixed": ((MixConv(16, 16, (3, 5), 2, "relu", 2, 2),),),
    "scaled": ((UIB(16, 16, 3, 5, 2), UIB(16, 32, 0, 3, 1, layer_scale=True), MobileMQA(2, 8, 8, 2)),),
    "folded": ((UIB(8, 16, 3, 0, 1, layer_scale=True),),),
}  # fmt: skip
NETWORKS = {
    name: ArchSpec(SHAPE, (STEM, *stages), Head(24) if name == "scaled" else Head(), 5)
    for name, stages in BODIES.items()
}


def weights_of(arch: ArchSpec) -> dict[str, np.ndarray[Any, Any]]:
    """Return random numbers for all tensors, positive for variances."""
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in weight_shapes(arch).items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_goes_to_timm_comes_back(name: str) -> None:
    arch = NETWORKS[name]
    weights = weights_of(arch)
    there = timm_network(arch, lambda tensor, _: weights[tensor]).tensors
    back = from_state_dict(arch, {f"module.{key}": values for key, values in there.items()})
    assert back.weights.keys() == weights.keys() and not back.missing and not back.unused
    again = timm_network(arch, lambda tensor, _: back.weights[tensor]).tensors
    for key, values in there.items():  # a layer scale that timm has no tensor for is in the weights beside it
        np.testing.assert_array_equal(again[key], values, key)
    if name != "folded":
        for key, values in weights.items():
            np.testing.assert_array_equal(back.weights[key], values, key)


def test_names_of_efficientnet_pytorch() -> None:
    arch = reference("efficientnet-b0")
    weights = weights_of(arch)
    timm = timm_network(arch, lambda tensor, _: weights[tensor]).tensors
    places = list(dict.fromkeys(".".join(key.split(".")[:3]) for key in timm if key.startswith("blocks")))
    parts = {True: {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1",
                    "conv_pwl": "_project_conv", "bn3": "_bn2", "se.conv_reduce": "_se_reduce",
                    "se.conv_expand": "_se_expand"},
             False: {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2",
                     "se.conv_reduce": "_se_reduce", "se.conv_expand": "_se_expand"}}  # fmt: skip
    ends = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    theirs = {}
    for key, values in timm.items():
        module, _, tensor = key.rpartition(".")
        place = ".".join(key.split(".")[:3])
        if key.startswith("blocks"):
            own = parts[f"{place}.conv_pwl.weight" in timm][module.removeprefix(f"{place}.")]
            theirs[f"_blocks.{places.index(place)}.{own}.{tensor}"] = values
        else:
            theirs[f"{ends[module]}.{tensor}"] = values
    back = from_state_dict(arch, theirs)
    assert not back.missing and not back.unused
    for key, values in weights.items():
        np.testing.assert_array_equal(back.weights[key], values, key)


def test_other_classes_and_grey_images_take_the_rest(tmp_path: Path) -> None:
    colour, grey = NETWORKS["plain"], ArchSpec(Shape(16, 16, 1), NETWORKS["plain"].stages, Head(), 3)
    weights = weights_of(colour)
    timm = timm_network(colour, lambda tensor, _: weights[tensor]).tensors
    safetensors.numpy.save_file(timm, tmp_path / "timm.safetensors")
    found = start_weights(tmp_path / "timm.safetensors", grey, seed=0)
    np.testing.assert_allclose(found.weights["0.0.conv.weight"][..., 0, :], weights["0.0.conv.weight"].sum(2), 1e-6)
    np.testing.assert_array_equal(found.weights["1.0.expand.weight"], weights["1.0.expand.weight"])
    random = get_weights(random_network(grey, 0))
    np.testing.assert_array_equal(found.weights["head.classifier.weight"], random["head.classifier.weight"])
    count = len(weights)
    assert found.lines[0].endswith(f"{count - 2} of {count} tensors taken") and "added up" in found.lines[1]
    assert found.lines[2] == "begin at random: classifier.weight, classifier.bias"
    with pytest.raises(InvalidInput, match=r"lacks classifier.weight, classifier.bias .*nas train --weights"):
        read_weights(tmp_path / "timm.safetensors", grey)
    whole, about = read_weights(tmp_path / "timm.safetensors", colour)
    assert whole.keys() == weights.keys() and about["origin"] == "translated from a state dict of PyTorch"


def test_files_that_do_not_fit_say_so(tmp_path: Path) -> None:
    scaled, plain = NETWORKS["scaled"], NETWORKS["plain"]
    with pytest.raises(InvalidInput, match="none of its 1 tensors fits the network"):
        from_state_dict(plain, {"fc.weight": np.zeros((2, 2), np.float32)})
    weights = weights_of(scaled)
    timm = timm_network(scaled, lambda tensor, _: weights[tensor]).tensors
    first = next(key for key in timm if key.endswith("layer_scale.gamma"))
    with pytest.raises(InvalidInput, match="must be 1 everywhere: the network has no layer scale there"):
        from_state_dict(scaled, {**timm, first: np.full_like(timm[first], 2)})
    small = NETWORKS["folded"]
    save_weights(tmp_path / "own.safetensors", weights_of(small), small, "trained")
    other = ArchSpec(SHAPE, small.stages, Head(), 7)
    found = start_weights(tmp_path / "own.safetensors", other, seed=0)  # of this package: by name and shape
    assert found.lines[1] == "begin at random: head.classifier.weight, head.classifier.bias"
    with pytest.raises(InvalidInput, match="holds no weights that fit"):
        start_weights(tmp_path / "own.safetensors", ArchSpec(Shape(8, 8, 3), ((Conv(5, 7, 2),),), Head(), 2), seed=0)


def test_a_training_starts_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arch = NETWORKS["folded"]
    save_arch(arch, tmp_path / "net.json")
    weights = weights_of(arch)
    timm = timm_network(arch, lambda tensor, _: weights[tensor]).tensors
    safetensors.numpy.save_file(timm, tmp_path / "timm.safetensors")
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 16, 16, 3)).astype(np.uint8), np.arange(60) % 5
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    words = ["train", str(tmp_path / "net.json"), "--data", str(tmp_path / "data.npz"), "--epochs", "1"]
    words += ["--weights", str(tmp_path / "timm.safetensors"), "--batch-size", "20", "--out", str(tmp_path / "out")]
    assert main([*words, "--plan"]) == 0
    assert f"{len(weight_shapes(arch))} of {len(weight_shapes(arch))} tensors taken" in capsys.readouterr().out
    assert main(words) == 0
    assert '"started_from"' in (tmp_path / "out" / "train.json").read_text()
    (tmp_path / "not.pth").write_bytes(b"PK\x03\x04nothing")
    assert main([*words[:-1], str(tmp_path / "other"), "--weights", str(tmp_path / "not.pth")]) == 2
    assert "is no file of torch, or a damaged one" in capsys.readouterr().err
