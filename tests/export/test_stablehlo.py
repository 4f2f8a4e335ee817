"""StableHLO files: the program runs without this package for any batch; provenance and card lie beside it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.errors import InvalidInput
from nas.export.stablehlo import file as stablehlo_file
from nas.export.weights import difference, logits
from nas.nn.network import save_weights
from nas.registry import EXPORTERS, load
from tests.export.test_export import ARCH, SAME, provenance, some_weights

DRIVER = """
import sys
sys.modules.update(dict.fromkeys(["nas", "latency_models", "search_spaces", "flax"]))
import jax, jax.export, numpy as np
program = jax.export.deserialize(bytearray(open("a.stablehlo", "rb").read()))
np.save("logits.npy", np.concatenate([program.call(x) for x in (np.load("x.npy"), np.load("x.npy")[:1])]))
"""


@pytest.mark.parametrize("arch", [ARCH, SAME])
def test_the_program_runs_without_this_package_for_any_batch(arch: ArchSpec, tmp_path: Path) -> None:
    weights = some_weights(arch)
    lines = stablehlo_file.export(arch, tmp_path / "a.stablehlo", weights=weights, provenance=provenance(arch))
    assert "checked in jax.export" in lines[-1]
    images = np.random.default_rng(0).normal(size=(3, *arch.input_shape)).astype(np.float32)
    np.save(tmp_path / "x.npy", images)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    subprocess.run(
        [sys.executable, "-I", "-c", DRIVER], cwd=tmp_path, env=environment | {"JAX_PLATFORMS": "cpu"}, check=True
    )
    found, expected = np.load(tmp_path / "logits.npy"), logits(arch, weights, images)
    assert difference(found, np.concatenate([expected, expected[:1]]))[1] <= 1e-5


def test_the_same_weights_give_the_same_bytes_and_no_path(tmp_path: Path, root: Path) -> None:
    settings: dict[str, Any] = {"weights": some_weights(SAME), "provenance": provenance(SAME)}
    for name in "ab":
        stablehlo_file.export(SAME, tmp_path / name, **settings)
    program = (tmp_path / "a").read_bytes()
    assert program == (tmp_path / "b").read_bytes() and str(root).encode() not in program
    about = json.loads((tmp_path / "a.json").read_text())
    assert about["spec.digest"] == SAME.digest and about["provenance.origin"] == "trained"
    assert about["version.jax"] and about["costs.macs"] == str(SAME.macs) and "predicted_ms.rpi5" in about
    assert SAME.digest in (tmp_path / "a.md").read_text()


def test_a_name_that_is_taken_is_refused_whatever_of_it_is(tmp_path: Path) -> None:
    for taken in ("a", "a.json", "a.md"):
        path = tmp_path / taken
        path.touch()
        with pytest.raises(InvalidInput, match="exists"):
            stablehlo_file.export(SAME, tmp_path / "a")
        path.unlink()
    assert not list(tmp_path.iterdir())


def test_the_command_refuses_what_it_cannot_read_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_arch(SAME, tmp_path / "small.json")
    newer = SAME.to_dict() | {"version": 99}
    Path("newer.json").write_text(json.dumps(newer))
    Path("cut.json").write_text(json.dumps(newer)[:100])
    save_weights(Path("w.safetensors"), some_weights(SAME), SAME, "trained")
    save_weights(Path("other.safetensors"), some_weights(ARCH), ARCH, "trained")
    Path("cut.safetensors").write_bytes(Path("w.safetensors").read_bytes()[:-7])
    Path("times.csv").write_text("arch,latency_ms,digest\nother.json,1.0,0123\n")
    before = {path.name for path in tmp_path.iterdir()}
    for name in EXPORTERS:
        command = ["export", "--format", name, "-o", "out"]
        for more, word in (
            (["newer.json"], "version 99"),
            (["cut.json"], "JSON"),
            (
                ["small.json", "--weights", "other.safetensors"],
                "another architecture" if name != "json" else "no weights",
            ),
            (["small.json", "--weights", "cut.safetensors"], "no file of weights" if name != "json" else "no weights"),
            (
                ["small.json", "--measured", "times.csv"],
                "has no latency of this network" if name != "json" else "no weights",
            ),
        ):
            assert main([*command, *more]) == 2
            error = capsys.readouterr().err
            assert word in error and error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == before
    assert load("format", EXPORTERS, "stablehlo") == stablehlo_file.export
