"""Regret between runs, fronts over many targets, parts of runs for several targets, energy: by brute force, by law."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_models.kernel_times import kernel_columns, kernel_times, totals
from latency_models.target import abstract_target, list_targets, load_target, target_names
from latency_models.unsupported import refused_by
from nas.arch import ArchSpec
from nas.cli import main
from nas.compare.compare import Comparison, compare
from nas.compare.files import write
from nas.compare.page import html
from nas.errors import InvalidInput
from nas.report.network_blocks import block_position, network_blocks
from nas.zoo import BASELINES, reference
from tests.support.run_folder import TARGET, make_run
from tests.support.strategies import archs

RUNS = {"edge": "pixel8-edgetpu", "cpu": "rpi5", "mcu": "cortex-m7"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs for different targets with one kind of accuracy, and one run with another kind."""
    folder = tmp_path_factory.mktemp("runs")
    for seed, (name, target) in enumerate(RUNS.items()):
        make_run(folder / name, seed=seed, target=target)
    make_run(folder / "other", seed=9, target="s23-gpu")
    change(folder / "other", lambda accuracy: accuracy["kind"].update(resolution=32))
    change(folder / "mcu", lambda accuracy: accuracy.update(top1=0.9))  # more than any other reaches
    return folder


def change(run: Path, edit: Callable[[Any], None]) -> None:
    """Edit the accuracy in the best.json of a run."""
    result = json.loads((run / "best.json").read_text())
    for name in ("accuracy", "supernet_accuracy"):
        edit(result[name])
    (run / "best.json").write_text(json.dumps(result))


@pytest.fixture(scope="module")
def compared(runs: Path) -> Comparison:
    """All four, on two targets of which one is nobody's."""
    return compare([runs / name for name in (*RUNS, "other")], ["rpi5", "pixel6-cpu"])


def test_regret_is_that_of_brute_force(compared: Comparison) -> None:
    found = compared.regrets.set_index(["item", "best_item"])
    assert len(found) == 9 + 1  # the other kind has itself only
    for (item, best), row in found.iterrows():
        model = load_target(row["used_on"]).model()
        own = [entry for entry in compared.entries if entry.item == best]
        bar = next(entry.top1 for entry in own if entry.chosen)
        fastest = min(model.predict_ms(entry.arch) for entry in own if entry.top1 >= bar)
        accurate = [entry for entry in compared.entries if entry.item == item and entry.top1 >= bar]
        if not accurate:
            assert np.isnan(row["extra"]) and row["network"] == ""
            continue
        assert row["latency_ms"] == min(model.predict_ms(entry.arch) for entry in accurate)
        assert row["extra"] == pytest.approx(row["latency_ms"] / fastest - 1)
        assert row["network"] in [entry.name for entry in accurate]
    assert (found.loc[[(name, name) for name in RUNS], "extra"] == 0).all()
    assert found["extra"].isna().any()


def test_runs_for_one_target_have_no_regret(runs: Path) -> None:
    assert compare([runs / "edge"], ["rpi5"]).regrets.empty
    assert compare(list(BASELINES[:3]), ["rpi5", "s23-gpu"]).regrets.empty


def test_fronts_are_counted_over_targets(compared: Comparison) -> None:
    rows = compared.rows[compared.rows["accuracy_kind"] != ""]
    counted = compared.optimal.set_index("name")
    assert set(counted.index) == set(rows["name"]) and (counted["targets"] == 2).all()
    for name, group in rows.groupby("name"):
        assert counted.loc[name, "targets_on_front"] == group["on_front"].sum()


def test_mobilenetv4_is_on_the_front_of_every_target_that_runs_it() -> None:
    """The claim of arXiv 2404.10518, section 1: mostly Pareto-optimal on CPUs, GPUs, DSPs and accelerators."""
    counted = compare(["zoo"]).optimal.set_index("name")
    assert (counted["targets"] == len(target_names())).all() and len(counted) == len(BASELINES)
    newest = counted[counted.index.str.startswith("mobilenetv4")]
    targets = [load_target(name) for name in target_names()]
    running = [sum(not refused_by(target, reference(name)) for target in targets) for name in newest.index]
    assert len(newest) == 5 and newest["targets_on_front"].tolist() == running and counted["share"].median() < 0.9
    assert all(count == len(targets) for name, count in zip(newest.index, running, strict=True) if "conv" in name)


def test_a_part_of_a_run_is_a_run(runs: Path, tmp_path: Path) -> None:
    several = tmp_path / "several"
    several.mkdir()
    shutil.copy(runs / "edge" / "experiment.json", several / "experiment.json")
    for name, target in RUNS.items():
        shutil.copytree(runs / name, several / target)
    (several / "rpi5" / "experiment.json").unlink()  # with settings of its own or without
    part = compare([several / "rpi5"], ["rpi5"])
    assert part.entries[0].item == "several/rpi5" and part.entries[0].found_for == "rpi5"
    whole = compare([several], ["rpi5"])
    assert {entry.item for entry in whole.entries if entry.accuracy} == {f"several/{name}" for name in RUNS.values()}
    apart = compare([runs / name for name in RUNS], ["rpi5"]).regrets
    assert sorted(whole.regrets["extra"].dropna()) == sorted(apart["extra"].dropna())
    (several / "universal").mkdir()  # one network for all targets: what it loses is a row, never a column
    shutil.copy(runs / "cpu" / "best.json", several / "universal" / "best.json")
    regrets = compare([several], ["rpi5"]).regrets
    assert set(regrets["used_on"]) == set(RUNS.values()) and set(regrets["found_for"]) == {*RUNS.values(), "universal"}
    page = html(compare([several], ["rpi5"]))
    assert "several/universal" in page and f'"label":"several/{TARGET}"' in page


def test_energy_is_that_of_the_target_or_refused(
    runs: Path, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (root / "latency_models" / "targets" / "rpi5.toml").read_text()
    row = '{{ value = {}, source = "made up", confidence = "estimated" }}'
    values = {"power_w": 2.0, "pj_per_mac": 5.0, "pj_per_byte": 100.0}
    text += "\n[energy]\n" + "".join(f"{name} = {row.format(value)}\n" for name, value in values.items())
    path = tmp_path / "mine.toml"
    path.write_text(text)
    found = compare(["mobilenetv2"], [str(path)], energy=True).rows
    assert found["energy_mj"].tolist() == [load_target(str(path)).energy_model().predict_mj(reference("mobilenetv2"))]
    out = tmp_path / "out"
    assert main(["compare", "mobilenetv2", "--targets", f"{path},rpi5", "--energy", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "'rpi5' has no energy coefficients" in error and error.count("\n") == 1 and not out.exists()
    with pytest.raises(InvalidInput, match="no energy coefficients"):
        compare([runs / "edge"], ["rpi5"], energy=True)


def test_json_is_json_and_an_occupied_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "mobilenetv2", "--targets", "rpi5,s23-gpu", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["schema"] == "nas.comparison" and len(body["rows"]) == 2
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["compare", "mobilenetv2", "--out", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err and [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@given(archs(), st.sampled_from([*list_targets(), None]), st.floats(0, 500))
@settings(max_examples=80)
def test_kernels_cost_at_once_what_they_cost_one_by_one(arch: ArchSpec, target: object, ridge_point: float) -> None:
    model = abstract_target(ridge_point, 1.0) if target is None else target.model()  # type: ignore[attr-defined]
    columns = kernel_columns([arch, arch])
    times, bounds = kernel_times(columns, model)
    assert times.tolist() == [model.of_kernel(kernel) for kernel in arch.kernels] * 2
    assert bounds.tolist() == [model.explain(kernel).bound for kernel in arch.kernels] * 2
    assert totals(columns, times, model) == [model.predict_ms(arch)] * 2


@given(archs())
def test_blocks_hold_every_kernel_once(arch: ArchSpec) -> None:
    found = network_blocks(arch)
    assert [kernel.name for kernel in arch.kernels] == [
        kernel.name for block in found for kernel in arch.kernels[block.first : block.last]
    ]
    for block in found:
        assert {block_position(kernel.name) for kernel in arch.kernels[block.first : block.last]} == {block.position}
        assert block.sum_of(np.ones(len(arch.kernels))) == block.last - block.first
    assert [block.out_shape for block in found[:-2]] == [block.in_shape for block in found[1:-1]]


def test_the_tables_hold_the_csv(compared: Comparison, tmp_path: Path) -> None:
    write(compared, tmp_path)
    numbers = dict.fromkeys(("extra", "extra_ms", "latency_ms"), "")
    again = pd.read_csv(tmp_path / "regret.csv", keep_default_na=False, na_values=numbers)
    pd.testing.assert_frame_equal(again, compared.regrets, check_dtype=False)
