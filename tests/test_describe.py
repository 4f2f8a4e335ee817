"""What `nas describe`, `nas zoo` and `nas targets` show: sums agree, JSON is plain, tables hold the figures."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from latency_models.forest import fit_forest, forest_text
from latency_models.target import abstract_target, list_targets, load_target
from nas.cli import main
from nas.describe import describe, description_table, forest_row, target_rows, target_table, zoo_rows, zoo_table
from nas.zoo import ZOO, reference


def text_of(table: Table) -> str:
    """Return the table as it is printed on a wide terminal."""
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text()


@pytest.mark.parametrize("target", ["edgetpu", "pixel4-dsp", "rpi5", "coral-edgetpu"])
@pytest.mark.parametrize("network", ["mobilenetv4-conv-s", "mobilenetv4-hybrid-m", "mobilenetv3-small"])
def test_the_rows_sum_to_the_totals(network: str, target: str) -> None:
    arch, model = reference(network), load_target(target).model()
    said = describe(arch, model)
    body = json.loads(json.dumps(said.to_json(), allow_nan=False))
    assert (body["params"], body["macs"]) == (arch.params, arch.macs)
    assert body["latency_ms"] == model.predict_ms(arch)
    assert sum(row["macs"] for row in body["kernels"]) == body["macs"]
    assert body["floor_ms"] + sum(row["latency_ms"] for row in body["kernels"]) == pytest.approx(body["latency_ms"])
    assert sum(row["share"] for row in body["kernels"]) <= 1 + 1e-12
    assert [row["name"] for row in body["kernels"]] == [kernel.name for kernel in arch.kernels]
    assert body["peak_activation_bytes"] == arch.peak_activation_elements * model.bytes_per_activation
    for row in body["kernels"]:
        if row["bound"] != "free" and row["macs_per_byte"] is not None:
            assert (row["bound"] == "compute") == (row["macs_per_byte"] >= model.ridge_point)


def test_an_abstract_device_speaks_of_ratios() -> None:
    conv_s = reference("mobilenetv4-conv-s")
    body = describe(conv_s, abstract_target(37.0, reference=conv_s)).to_json()
    assert body["latency_ratio"] == pytest.approx(1.0) and body["unit"] == "x mobilenetv4-conv-s"
    assert "latency_ms" not in body and "latency_ms" not in body["kernels"][0]


def test_tables_hold_the_figures() -> None:
    shown = text_of(description_table(describe(reference("mobilenetv4-conv-s"), load_target("edgetpu").model())))
    for figure in ("3,774,024 parameters", "186,005,568", "0.7003", "launch floor", "224x224x3", "head.classifier"):
        assert figure in shown
    large = describe(reference("mobilenetv4-conv-l"), load_target("coral-edgetpu").model())
    assert "lower bound" in text_of(description_table(large))


def test_the_lists_hold_every_member() -> None:
    networks, targets = zoo_rows(ZOO), target_rows(list_targets())
    json.dumps([networks, targets], allow_nan=False)
    zoo_text, target_text = text_of(zoo_table(networks)), text_of(target_table(targets))
    assert all(name in zoo_text for name in ZOO) and "37,764,624" in zoo_text
    assert all(target.name in target_text for target in list_targets())
    edgetpu = next(row for row in targets if "edgetpu" in row["aliases"])
    assert edgetpu["figures"]["floor_ms"]["value"] == 0.61 and edgetpu["figures"]["floor_ms"]["source"]


def test_a_forest_says_what_it_predicts_and_how_far_to_trust_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archs = [reference(name) for name in ("mobilenetv1", "mobilenetv2", "mobilenetv4-conv-s", "mobilenetv4-conv-m")]
    forest = fit_forest(archs, [1] * 4, np.array([3.0, 2.0, 1.0, 5.0]), of="energy")
    path = tmp_path / "pi.forest.json"
    path.write_text(forest_text(replace(forest, held_out_mape_percent=7.5)))
    row = forest_row(str(path), archs[1])
    assert row.value == pytest.approx(float(forest.predict([archs[1]])[0])) and row.range == forest.range
    assert main(["describe", "mobilenetv2", "--forest", str(path), "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["forests"]
    assert (shown["value"], shown["unit"], shown["held_out_mape_percent"]) == (row.value, "mJ", 7.5)
    assert main(["describe", "mobilenetv2", "--forest", str(path)]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert f"{row.value:.4g} mJ" in words and "7.5 % (MAPE)" in words
    assert main(["describe", "mobilenetv2", "--forest", str(tmp_path / "none.forest.json")]) == 2
    assert "cannot read" in capsys.readouterr().err
