"""Export of stand-alone Flax models: without this package they give the network's logits, or nothing is written."""

import ast
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nas.arch import ArchSpec, load_arch
from nas.errors import InvalidInput
from nas.export import json_file
from nas.export.flax import folder as flax_folder
from nas.files import dump_json, read_json, write_whole
from nas.nn.network import Network, load_weights, set_weights, weight_shapes
from nas.ops import UIB, Conv, FusedIB, Head, InvertedResidual, MixConv, MobileMQA, SeparableConv, Shape, family_of
from nas.registry import EXPORTERS, load
from nas.zoo import ZOO

ARCH = ArchSpec(
    Shape(16, 16, 3),
    (
        (Conv(8, 3, 2), FusedIB(8, 16, residual=True, layer_scale=True, act="gelu")),
        (),
        (
            SeparableConv(12, 5, act="relu6"),
            InvertedResidual(12, 24, 5, se_channels=4, act="hswish", residual=True),
            InvertedResidual(16, 0, 3, 2),
            MixConv(16, 25, (3, 7), 1, "swish", 2, 2, se_channels=3, residual=True, se_act="swish"),
            UIB(16, 32, 3, 5, residual=True, layer_scale=True),
            UIB(24, 32, 5, 0, stride=2),
            UIB(24, 32, 0, 0, act="none"),
            MobileMQA(2, 8, 4, kv_stride=2),
            MobileMQA(3, 4, 4, residual=False, layer_scale=False),
        ),
    ),
    Head(20, hidden_norm=False, act="hswish"),
    5,
    name='tricky """ name \\',
)
SAME = ArchSpec(Shape(9, 12, 1), ((Conv(4, 5, 2), UIB(6, 8, 3, 5, 2)),), Head(7), 2, "same", 1e-2)
IMAGES = np.random.default_rng(0).normal(size=(3, 16, 16, 3)).astype(np.float32)
FILES = {"model.py", "weights.safetensors", "arch.json", "README.md"}
DRIVER = """
import runpy, sys
sys.modules.update(dict.fromkeys(["nas", "latency_models", "search_spaces"]))
import numpy as np
model = runpy.run_path("model.py")
apply = model["nnx"].jit(lambda network, x: network(x))
np.save("logits.npy", apply(model["load"]("weights.safetensors"), np.load("x.npy")))
from safetensors.numpy import load_file, save_file
weights = load_file("weights.safetensors")
name, tensor = weights.popitem()
for wrong in (weights, weights | {name: tensor, "more": tensor}, weights | {name: tensor[..., :-1].copy()}):
    save_file(wrong, "wrong.safetensors")
    try:
        model["load"]("wrong.safetensors")
    except ValueError:
        continue
    sys.exit("wrong weights were taken")
runpy.run_path("model.py", run_name="__main__")
"""


def some_weights(arch: ArchSpec) -> dict[str, Any]:
    """Return weights of which every tensor, gamma and statistics included, changes the logits."""
    rng = np.random.default_rng(1)
    sampled = {name: rng.normal(size=shape).astype(np.float32) for name, shape in weight_shapes(arch).items()}
    return {name: np.abs(value) + 0.5 if name.endswith(".var") else value for name, value in sampled.items()}


def provenance(arch: ArchSpec) -> dict[str, str]:
    """Return the provenance of trained weights."""
    return {"arch": arch.digest, "origin": "trained", "data": 'digits """ and \\ more'}


def test_the_model_runs_without_this_package_and_equals_the_network(tmp_path: Path) -> None:
    weights = some_weights(ARCH)
    lines = flax_folder.export(ARCH, tmp_path / "out", weights=weights, provenance=provenance(ARCH))
    assert "trained" in " ".join(lines) and "random" not in " ".join(lines)
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert load_arch(tmp_path / "out" / "arch.json") == ARCH
    elsewhere = shutil.copytree(tmp_path / "out", tmp_path / "elsewhere")
    np.save(elsewhere / "x.npy", IMAGES)
    command = [sys.executable, "-I", "-B", "-c", DRIVER]
    env = {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=elsewhere, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "logits of a fixed input:" in done.stdout and "weights: trained" in done.stdout
    network = Network(ARCH, nnx.Rngs(3))
    set_weights(network, weights)
    expected = np.asarray(nnx.jit(lambda network, x: network(x))(network, jnp.asarray(IMAGES)))
    found = np.load(elsewhere / "logits.npy")
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_without_weights_a_random_initialisation_is_written_and_reported(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()  # an empty folder may be there
    lines = flax_folder.export(SAME, tmp_path / "out")
    assert "predicts nothing" in " ".join(lines)
    weights, origin = load_weights(tmp_path / "out" / "weights.safetensors", SAME)
    assert origin == "random initialisation, seed 0" and set(weights) == set(weight_shapes(SAME))
    text = (tmp_path / "out" / "model.py").read_text()
    assert "random initialisation" in (ast.get_docstring(ast.parse(text)) or "")
    assert "from nas" not in text and "import nas" not in text


def test_what_does_not_belong_together_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, proxy = some_weights(SAME), replace(SAME, input_shape=Shape(5, 5, 1))
    assert set(weight_shapes(proxy)) == set(weights)  # shapes alone would let a proxy's weights pass

    def refused(match: str, out: str = "out", **arguments: Any) -> None:
        with pytest.raises(InvalidInput, match=match) as error:
            flax_folder.export(SAME, tmp_path / out, **{"weights": weights, "provenance": provenance(SAME)} | arguments)
        assert "\n" not in str(error.value)

    refused("of another spec", provenance=provenance(proxy))
    refused("unknown", provenance=None)
    refused("origin", provenance={"arch": SAME.digest})
    refused("lack", weights=dict(list(weights.items())[1:]))
    refused("another spec", weights=weights | {"more": np.zeros(1)})
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    refused("not empty", "taken")
    refused("not empty", "taken/file")
    refused("cannot", "taken/file/below")
    monkeypatch.setattr(flax_folder, "run_model", lambda *_: np.zeros((2, 2), np.float32))
    refused("differs")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(flax_folder, "run_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        flax_folder.export(SAME, tmp_path / "out", weights=weights, provenance=provenance(SAME))
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("name", ZOO)
def test_every_reference_has_a_model_with_one_call_per_op(name: str) -> None:
    arch = ZOO[name].spec()
    tree = ast.parse(flax_folder.model_source(arch, provenance(arch)))
    model = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Model")
    calls = [node.func.id for node in ast.walk(model) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    expected = [family_of(op).block.partition(":")[2] for _, op, _ in arch.iter_ops()]
    assert [call for call in calls if call in set(expected)] == expected and calls.count("HeadBlock") == 1


def test_the_spec_is_written_whole_and_not_over_another(tmp_path: Path) -> None:
    out = tmp_path / "spec.json"
    lines = json_file.export(ARCH, out, weights={}, provenance={"seed": "7", "origin": "trained"})
    assert load_arch(out) == ARCH and ARCH.digest[:12] in lines[0] and any("no weights" in line for line in lines)
    described = read_json(out)["metadata"]
    assert described["spec.digest"] == ARCH.digest
    assert described["provenance.seed"] == "7" and "provenance.origin" not in described
    assert float(described["predicted_ms.pixel6-cpu"]) > 0
    text = (tmp_path / "spec.json.md").read_text()
    assert "seed: 7" in text and ARCH.digest in text and "load_arch" in text
    with pytest.raises(InvalidInput, match="exists"):
        json_file.export(ARCH, out)
    with pytest.raises(InvalidInput, match="cannot write"):
        json_file.export(ARCH, tmp_path / "absent" / "spec.json")
    altered = read_json(out) | {"metadata": "none"}
    write_whole(out, dump_json(altered))
    with pytest.raises(InvalidInput, match="metadata must be an object"):
        load_arch(out)


def test_the_registry_finds_the_exporters() -> None:
    assert load("format", EXPORTERS, "flax") is flax_folder.export
    assert load("format", EXPORTERS, "json") is json_file.export
