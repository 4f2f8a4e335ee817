"""A search on maps of numbers, 16 x 8 x 1, from the .npz file to a prediction: every step as for images."""

import json
import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas import registry
from nas.arch import load_arch
from nas.data import load
from nas.export.weights import logits
from nas.nn.network import load_weights
from nas.ops import Shape
from nas.ops.uib import UIBChoices
from nas.records.results import load_result
from nas.records.signatures import signature_of
from nas.space.forms import stack
from nas.supernet import presets
from search_spaces.uib import uib_space
from tests.support.tiny import PRESET

for package in ("onnx", "onnxruntime", "ai_edge_litert"):
    pytest.importorskip(package, reason=f"{package} of the extra 'export' is not installed")
UIB = UIBChoices(((0, 3), (3, 3)))
SMALL = uib_space(
    "maps", (stack("stage0", (8, 16), (1,), UIB),), stem=(8,), fused=(8,), expansions=(1.0,), features=16, hidden=16,
    input_shape=Shape(32, 32, 3), num_classes=4,
)  # fmt: skip
SPACE = "tests.runs.test_maps:SMALL"


def save_maps(path: Path) -> None:
    """Write maps whose class is the half of the height that is loud, around -30 with a deviation of some 20."""
    rng = np.random.default_rng(0)
    parts = {}
    for part, count in (("train", 160), ("test", 40)):
        y = np.arange(count) % 2
        x = rng.normal(-30, 10, (count, 16, 8, 1))
        for i, label in enumerate(y):
            x[i, 8 * label : 8 * label + 8] += 30
        parts |= {f"x_{part}": x.astype(np.float32), f"y_{part}": y}
    np.savez(path, **parts)


def test_from_maps_to_a_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Callable[..., str]) -> None:
    monkeypatch.setitem(presets.PRESETS, "tiny", replace(PRESET, xla_options=presets.SMOKE.xla_options))
    monkeypatch.chdir(tmp_path)
    registry.state(space=SPACE)
    save_maps(tmp_path / "maps.npz")
    shown = out("search", "--space", SPACE, "--target", "pixel6-cpu", "--data", "maps.npz", "--preset", "tiny",
                "--one-stage", "--baseline", "none", "--latency", "0.00105ms", "--out", "run")  # fmt: skip
    result = load_result(tmp_path / "run" / "best.json")
    assert result.arch.input_shape == (16, 8, 1) and result.accuracy.kind.resolution == "16x8" and "run" in shown
    assert json.loads((tmp_path / "run" / "experiment.json").read_text())["settings"]["resolution"] is None
    out("train", "run", "--proxy", "--from-supernet", "--epochs", "1", "--batch-size", "32", "--out", "trained")
    exports = ("--format", "onnx", "-o", "net.onnx"), ("--format", "tflite", "--quantize", "int8", "-o", "net8.tflite")
    for flags in exports:
        lines = out("export", "trained", *flags)
        assert lines.splitlines()[-1].endswith("predict.py ARRAY.npy")
    data, takes = load("maps.npz"), signature_of(tmp_path / "trained")
    assert takes is not None and not takes.input.is_image and takes.input.size == (16, 8)
    np.testing.assert_allclose(takes.input.mean, data.x_train.mean((0, 1, 2)), rtol=1e-5)
    arch = load_arch(tmp_path / "trained" / "arch.json")
    weights, _ = load_weights(tmp_path / "trained" / "weights.safetensors", arch)
    expected = logits(arch, weights, takes.input.normalised(data.x_test[:4]))
    program = runpy.run_path("predict.py")
    about, logits_of = program["open_model"](tmp_path / "net.onnx")
    for x, own in zip(data.x_test, expected, strict=False):
        np.save("x.npy", x[..., 0])
        found = logits_of(program["as_input"](Path("x.npy"), about))[0]
        assert np.abs(found - own).max() <= 1e-4 * np.abs(expected).max()
