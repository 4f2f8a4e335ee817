"""Model cards and metadata of exported files: provenance, accuracy, costs, versions."""

import json
from pathlib import Path

import pytest

from latency_models.target import target_names
from nas.arch import save_arch
from nas.cli import main
from nas.errors import InvalidInput
from nas.export import json_file
from nas.export.card import model_card
from nas.export.flax import folder as flax_folder
from nas.export.interface import Interface
from nas.export.provenance import folder_provenance, measured_latency, metadata, unsupported_lines
from nas.files import write_all
from nas.zoo import reference
from tests.export.test_export import SAME, provenance, some_weights
from tests.support.run_folder import make_run

TRAINED = {
    "settings": {"seed": 3},
    "accuracy": {
        "top1": 0.9123, "standard_error": 0.0028, "pictures": 10000,
        "kind": {"data": "digits", "data_digest": "d" * 64, "resolution": 16, "width": 1.0, "how": "trained alone"},
    },
}  # fmt: skip


def card_of_network(provenance: dict[str, str]) -> str:
    """Return a card of the small network."""
    checks = ["checked somewhere"]
    interface = Interface("in to out", "onnx")
    return model_card("a.onnx", SAME, provenance, interface=interface, checks=checks, loading="\nload()\n")


def test_a_card_states_what_is_known_and_what_is_not() -> None:
    bare = card_of_network({"origin": "random initialisation, seed 0"})
    assert "none is known" in bare and "No latency of it was measured" in bare and "checked somewhere" in bare
    assert f"{SAME.params:,} parameters" in bare and SAME.digest in bare and "```python\nload()\n```" in bare
    assert all(f"| {name} |" in bare for name in target_names())
    for section in ("How it was obtained", "Accuracy", "Costs", "Intended use and limits", "How to load"):
        assert f"\n## {section}\n" in bare
    known = {
        "origin": "trained", "seed": "7", "input_mean": "0.28", "input_std": "0.32", "accuracy": "0.91 ± 0.01",
        "accuracy_kind": "top-1 on 9 images", "measured_ms": "3.5", "measured_on": "litert, 1 threads",
    }  # fmt: skip
    whole = card_of_network(known)
    assert "0.91 ± 0.01 (top-1 on 9 images)" in whole and "Measured: 3.5 ms (litert, 1 threads)." in whole
    assert "mean 0.28 and std 0.32" in whole and "- seed: 7" in whole


def test_a_card_and_the_lines_of_an_export_name_what_targets_do_not_run(tmp_path: Path) -> None:
    arch = reference("mobilenetv4-hybrid-l")
    lines = unsupported_lines(arch)
    assert {line.partition(" (")[0] for line in lines} == {"mobile_mqa", "gelu"} and len(lines) == 2
    attention = next(line for line in lines if line.startswith("mobile_mqa (ops "))
    assert "falls back to the CPU on coral-edgetpu" in attention and "refused by pixel4-dsp; nas targets T" in attention
    card = model_card("a", arch, {}, interface=Interface("in to out", "onnx"), checks=[], loading="")
    assert all(f"- not run: {line}\n" in card for line in lines)
    assert unsupported_lines(SAME) == [] and "not run" not in card_of_network({})
    assert lines == json_file.export(arch, tmp_path / "o.json")[-2:]


def test_a_card_shows_foreign_text_as_text() -> None:
    text = card_of_network({"origin": "<script>`x`|\n# title", "run": "a\x1b[31m"})
    assert "<script>" not in text and "\x1b" not in text and "\n# title" not in text


def test_provenance_of_a_training_and_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps(TRAINED))
    found = folder_provenance(tmp_path)
    assert found["seed"] == "3" and found["accuracy"] == "0.9123 ± 0.0028" and found["data_digest"] == "d" * 64
    assert "10,000 pictures of digits at 16 px" in found["accuracy_kind"]
    (tmp_path / "train.json").write_text(json.dumps({"settings": {}}))
    with pytest.raises(InvalidInput, match="states no accuracy"):
        folder_provenance(tmp_path)
    run = make_run(tmp_path / "run", count=3)
    search = folder_provenance(run)
    assert search["run"] == "run" and "search_accuracy" in search and "accuracy" not in search and search["target"]
    assert folder_provenance(tmp_path / "absent") == {}


def test_a_measured_latency_is_taken_by_digest(tmp_path: Path) -> None:
    rows = "arch,latency_ms,batch,runtime,threads,machine,digest\n"
    path = tmp_path / "times.csv"
    path.write_text(f"{rows}a,1.5,1,litert,1,host,{SAME.digest}\n")
    assert measured_latency(path, SAME) == {"measured_ms": "1.5", "measured_on": "litert, 1 threads, batch 1, host"}
    path.write_text(rows)
    with pytest.raises(InvalidInput, match="nas measure"):
        measured_latency(path, SAME)


def test_metadata_holds_spec_costs_predictions_and_versions() -> None:
    found = metadata(SAME, {"arch": SAME.digest, "origin": "trained"}, "numpy", "no-such-distribution")
    assert found["provenance.origin"] == "trained" and "provenance.arch" not in found
    assert found["costs.params"] == str(SAME.params) and found["version.no-such-distribution"] == "from a source tree"
    assert {name for name in found if name.startswith("predicted_ms.")} == {
        f"predicted_ms.{name}" for name in target_names()
    }


def test_files_appear_together_or_not_at_all(tmp_path: Path) -> None:
    good, bad = tmp_path / "a", tmp_path / "absent" / "b"
    with pytest.raises(InvalidInput):
        write_all({good: "text", bad: "text"})
    assert not list(tmp_path.iterdir())
    write_all({good: "text", tmp_path / "b": b"bytes"})
    assert good.read_text() == "text" and (tmp_path / "b").read_bytes() == b"bytes"


def test_a_flax_folder_has_its_card_and_provenance(tmp_path: Path) -> None:
    flax_folder.export(SAME, tmp_path / "out", weights=some_weights(SAME), provenance=provenance(SAME))
    assert "load(" in (tmp_path / "out" / "README.md").read_text()
    assert f"'spec.digest': '{SAME.digest}'" in (tmp_path / "out" / "model.py").read_text()


def test_the_command_puts_a_measured_latency_on_the_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_arch(SAME, tmp_path / "small.json")
    (tmp_path / "times.csv").write_text(f"arch,latency_ms,digest\na,2.25,{SAME.digest}\n")
    command = ["export", str(tmp_path / "small.json"), "--format", "stablehlo", "-o", str(tmp_path / "a")]
    assert main([*command, "--measured", str(tmp_path / "times.csv")]) == 0
    assert f"wrote {tmp_path / 'a.md'}" in capsys.readouterr().out
    assert "Measured: 2.25 ms" in (tmp_path / "a.md").read_text()
