"""Reports of costs, of the zoo and of the targets: sums agree, JSON is plain, tables show the numbers."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from rich.console import Console
from rich.table import Table

from latency_models.calibration.forest_fit import fit_forest
from latency_models.forest import forest_text
from latency_models.target import abstract_target, list_targets, load_target
from nas.arch import ArchSpec
from nas.cli import main
from nas.errors import InvalidInput
from nas.report.describe import describe, forest_row, target_rows, zoo_rows
from nas.report.describe_tables import description_table, target_table, zoo_table
from nas.report.network_summary import block_costs
from nas.report.network_table import bar, network_table
from nas.report.network_view import write
from nas.zoo import ZOO, reference
from tests.support.strategies import archs


def text_of(table: Table) -> str:
    """Return the table as it is printed on a wide terminal."""
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text()


@pytest.mark.parametrize("target", ["edgetpu", "pixel4-dsp", "rpi5", "coral-edgetpu"])
@pytest.mark.parametrize("network", ["mobilenetv4-conv-s", "mobilenetv4-hybrid-m", "mobilenetv3-small"])
def test_the_rows_sum_to_the_totals(network: str, target: str) -> None:
    arch, model = reference(network), load_target(target).model()
    description = describe(arch, model)
    body = json.loads(json.dumps(description.to_json(), allow_nan=False))
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


def test_latencies_on_an_abstract_device_are_ratios() -> None:
    conv_s = reference("mobilenetv4-conv-s")
    body = describe(conv_s, abstract_target(37.0, reference=conv_s)).to_json()
    assert body["latency_ratio"] == pytest.approx(1.0) and body["unit"] == "x mobilenetv4-conv-s"
    assert "latency_ms" not in body and "latency_ms" not in body["kernels"][0]


def test_tables_show_the_numbers() -> None:
    shown = text_of(description_table(describe(reference("mobilenetv4-conv-s"), load_target("edgetpu").model())))
    for number in ("3,774,024 parameters", "186 M", "0.7003", "launch overhead", "224x224x3", "head.classifier"):
        assert number in shown
    large = describe(reference("mobilenetv4-conv-l"), load_target("coral-edgetpu").model())
    assert "lower bound" in text_of(description_table(large))


def test_the_lists_hold_every_member() -> None:
    networks, targets = zoo_rows(ZOO), target_rows(list_targets())
    json.dumps([networks, targets], allow_nan=False)
    zoo_text, target_text = text_of(zoo_table(networks)), text_of(target_table(targets))
    assert all(name in zoo_text for name in ZOO) and "37.8 M" in zoo_text
    assert all(target.name in target_text for target in list_targets())
    edgetpu = next(row for row in targets if "edgetpu" in row["aliases"])
    assert edgetpu["figures"]["floor_ms"]["value"] == 0.61 and edgetpu["figures"]["floor_ms"]["source"]


@given(archs())
@settings(max_examples=30)
def test_the_summary_holds_every_block_and_its_shares_sum_to_one(arch: ArchSpec) -> None:
    model = load_target("rpi5").model()
    found = block_costs(arch, model)
    assert max(cost.memory for cost in found) == arch.peak_activation_elements * model.bytes_per_activation
    assert sum(cost.time_share for cost in found) == pytest.approx(1)
    assert sum(cost.macs for cost in found) == arch.macs and len(found) == sum(map(len, arch.stages)) + 1
    assert model.constant + sum(cost.time for cost in found) == pytest.approx(model.predict_ms(arch))
    text_of(network_table(arch, model))


def test_the_table_names_kernels_widths_and_strides() -> None:
    shown = text_of(network_table(reference("mobilenetv4-hybrid-m"), load_target("edgetpu").model()))
    for text in ("3x3-32/2", "dw5/2 1x1-80", "UIB ExtraDW skip", "fc-1280", "16x16x160", "scores softmax mix", "58%"):
        assert text in shown
    assert (
        bar(0.5, 0.5).startswith("█" * 10) and bar(0.25, 0.5).startswith("█████ ") and bar(0.0, 0.5).strip() == "0.0%"
    )


@pytest.mark.parametrize("ending", ["svg", "png", "html"])
def test_the_plot_and_the_page_go_into_a_new_file(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"network.{ending}"
    arch = replace(reference("mobilenetv3-small"), name="a<b>&$x_1$</script>")
    write(arch, load_target("rpi5").model(), path)
    first = path.read_bytes()
    assert first[:4] == b"\x89PNG" or b"<svg" in first or first.startswith(b"<!doctype html>")
    with pytest.raises(InvalidInput, match="exists"):
        write(arch, load_target("rpi5").model(), path)
    path.unlink()
    write(arch, load_target("rpi5").model(), path)
    assert path.read_bytes() == first


def test_describe_writes_a_plot_and_refuses_what_exists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "network.svg"
    assert main(["describe", "mobilenetv2", "--target", "rpi5", "--out", str(path)]) == 0
    assert "of time" in capsys.readouterr().out and path.exists()
    assert main(["describe", "mobilenetv2", "--target", "rpi5", "--kernels"]) == 0
    assert "MACs/byte" in capsys.readouterr().out
    for out, message in ((str(path), "exists"), (str(tmp_path / "network.gif"), "must end with .html, .svg, .png")):
        assert main(["describe", "mobilenetv2", "--out", out]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["network.svg"]


def test_a_forest_predicts_with_its_cross_validated_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archs = [reference(name) for name in ("mobilenetv1", "mobilenetv2", "mobilenetv4-conv-s", "mobilenetv4-conv-m")]
    forest = fit_forest(archs, [1] * 4, np.array([3.0, 2.0, 1.0, 5.0]), of="energy")
    path = tmp_path / "pi.forest.json"
    path.write_text(forest_text(replace(forest, cross_validated_mape_percent=7.5)))
    row = forest_row(str(path), archs[1])
    assert row.value == pytest.approx(float(forest.predict([archs[1]])[0])) and row.range == forest.range
    assert main(["describe", "mobilenetv2", "--forest", str(path), "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["forests"]
    assert (shown["value"], shown["unit"], shown["held_out_mape_percent"]) == (row.value, "mJ", 7.5)
    assert main(["describe", "mobilenetv2", "--forest", str(path)]) == 0
    shown_text = " ".join(capsys.readouterr().out.split())
    assert f"{row.value:.4g} mJ" in shown_text and "7.5 % (MAPE)" in shown_text
    assert main(["describe", "mobilenetv2", "--forest", str(tmp_path / "none.forest.json")]) == 2
    assert "cannot read" in capsys.readouterr().err
