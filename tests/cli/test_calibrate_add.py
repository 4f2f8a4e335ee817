"""nas calibrate --add: a target anew with further measurements, which it keeps, and the search that follows."""

import csv
import json
import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_models.calibration.kept import load_kept, read_kept
from latency_models.latency_error import error_of, percent_text
from latency_models.target import load_target
from nas.arch import save_arch
from nas.cli import main
from nas.cli.again import again
from nas.cli.commands.search import search_config
from nas.cli.new_target import free_name
from nas.cli.parser import build_parser
from nas.errors import InvalidInput
from nas.measure.dtypes import COMPUTES_IN
from nas.ops import InvertedResidual
from nas.registry import RUNTIMES
from nas.runs.settings import SearchConfig
from tests.support.made_up_device import APART, SEEN
from tests.support.run_folder import make_run

Out = pytest.CaptureFixture[str]
ANY = (1e-9, 1e9)  # what a space reaches
ALL, FIRST = range(12), range(8)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tables of measurements, and host.toml fitted to the first of them."""
    folder = tmp_path_factory.mktemp("add")
    for number, arch in enumerate(SEEN[: len(ALL)]):
        save_arch(arch, folder / f"n{number}.json")
    for name, numbers in (("first", FIRST), ("more", range(8, 12)), ("all", ALL)):
        table(folder / f"{name}.csv", numbers)
    assert main(["calibrate", str(folder / "first.csv"), "-o", str(folder / "host.toml"), "--like", "rpi5"]) == 0
    return folder


def table(path: Path, numbers: Any, runtime: str = "fake", factor: float = 1.0) -> Path:
    """Write measurements of some networks."""
    with path.open("w", newline="") as file:
        rows = [(f"n{i}.json", factor * APART.predict_ms(SEEN[i]), runtime) for i in numbers]
        csv.writer(file).writerows([("arch", "latency_ms", "runtime"), *rows])
    return path


@pytest.fixture
def folder(calibrated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder as the working one."""
    monkeypatch.chdir(calibrated)
    return calibrated


def refused(argv: list[str], message: str, capsys: Out) -> None:
    capsys.readouterr()
    assert main(argv) == 2
    said = capsys.readouterr()
    assert said.err.startswith("nas: ") and said.err.count("\n") == 1 and message in said.err and said.out == ""


def test_added_measurements_give_the_target_of_one_fit_of_all(folder: Path, capsys: Out) -> None:
    assert main(["calibrate", "--add", "more.csv", "--target", "host", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == "host-2.toml" and len(found["added"]["networks"]) == 4
    assert found["added"]["agreement"]["networks"] == 4
    assert main(["calibrate", "all.csv", "-o", "whole.toml", "--like", "rpi5"]) == 0
    added, whole = load_target("host-2"), load_target("whole")
    known, expected = added.calibration, whole.calibration
    assert added.model().predict_ms(SEEN[20]) == pytest.approx(whole.model().predict_ms(SEEN[20]), rel=1e-9)
    assert known and expected and known.networks == 12 == expected.networks and known.runtime == "fake"
    assert known.interval_90_percent == expected.interval_90_percent
    assert load_kept("host-2")[1] == load_kept("whole")[1]


def test_of_one_network_far_above_its_prediction_it_is_said_what_it_alone_has(folder: Path, capsys: Out) -> None:
    last = (*SEEN[12].stages[-1], InvertedResidual(64, 128, act="gelu"))
    slow = replace(SEEN[12], stages=(*SEEN[12].stages[:-1], last))
    save_arch(slow, folder / "slow.json")
    (folder / "slow.csv").write_text(f"arch,latency_ms,runtime\nslow.json,{3 * APART.predict_ms(slow)},fake\n")
    assert main(["calibrate", "--add", "slow.csv", "--target", "host", "--name", "slower"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("1 of 9 networks is far slower than predicted, and it alone has GELU: too few networks") == 1
    assert "warning: far from what the others say: slow.json" in shown and "suspected" not in shown
    known = error_of(load_target("host"), slow).percent
    assert known and f"± {percent_text(known)} %" in shown and "0 of 1 measured latencies lie within the error" in shown
    assert "predicted for fake, fp32: ± " in shown and "holds 90 % of unseen networks: cross-validated on 8" in shown


def test_a_target_is_found_again_in_full(folder: Path) -> None:
    target, kept = load_kept("host.toml")
    assert kept.like is not None and kept.like.name == "rpi5" and kept.dtype == target.dtype
    assert [one.latency_ms for one in kept.measured.networks] == [APART.predict_ms(SEEN[i]) for i in FIRST]
    assert kept.measured.provenance == {"runtime": "fake"}


def test_the_data_type_is_that_in_which_the_runtime_of_the_table_computes(folder: Path, capsys: Out) -> None:
    assert {*COMPUTES_IN} == {*RUNTIMES}
    table(folder / "int8.csv", range(6), "onnxruntime-int8")
    assert main(["calibrate", "int8.csv", "--name", "int8-host", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["dtype"] == "int8" and load_target("int8-host").setup == "onnxruntime-int8, int8"
    assert not [line for line in found["warnings"] if "computes in" in line]
    assert main(["calibrate", "int8.csv", "--name", "wrong", "--dtype", "fp32", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "onnxruntime-int8 computes in int8, and the target is said to compute in fp32" in found["warnings"][-1]


def test_names_that_next_lines_give_are_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert free_name("this-host") == "this-host"
    Path("this-host.toml").touch()
    Path("this-host-2.measurements.json").touch()
    assert free_name("this-host") == "this-host-3"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--add", "more.csv", "--target", "rpi5"], "target 'rpi5' keeps no measurements to add to"),
        (["--add", "more.csv"], "--add needs --target T"),
        (["--add", "other.csv", "--target", "host"], "was measured with runtime 'other', what it is added to with"),
        (["--add", "twice.csv", "--target", "host"], "is one network with latencies from"),
        (["--add", "absent.csv", "--target", "host"], "cannot read absent.csv"),
        (["--add", "more.csv", "--target", "host", "-o", "host.toml"], "host.toml exists"),
        (["--add", "more.csv", "--target", "lost"], "lost.measurements.json, which is missing"),
        (["--add", "more.csv", "--target", "altered"], "is not the file that altered.toml was fitted on"),
    ],
)
def test_what_cannot_be_added_is_one_line(argv: list[str], message: str, folder: Path, capsys: Out) -> None:
    table(folder / "other.csv", range(8, 10), "other")
    table(folder / "twice.csv", range(2), factor=2.0)
    for name in ("lost", "altered"):
        text = (folder / "host.toml").read_text()
        (folder / f"{name}.toml").write_text(text.replace("host.measurements.json", f"{name}.measurements.json"))
    (folder / "altered.measurements.json").write_text((folder / "host.measurements.json").read_text() + " ")
    before = {path.name for path in folder.iterdir()}
    refused(["calibrate", *argv], message, capsys)
    assert {path.name for path in folder.iterdir()} == before


@settings(max_examples=30)
@given(st.data())
def test_a_damaged_file_of_measurements_is_one_line(calibrated: Path, data: st.DataObject) -> None:
    whole = json.loads((calibrated / "host.measurements.json").read_text())
    place = data.draw(st.sampled_from(["schema", "dtype", "like", "provenance", "varying", "specs", "rows"]))
    whole[place] = data.draw(st.sampled_from([None, 3, "x", [], {}, [None], [{}], {"a": {}}]))
    path = calibrated / "damaged.measurements.json"
    path.write_text(json.dumps(whole))
    if whole[place] in (None, {}, []):  # some may be so
        with suppress(InvalidInput):
            read_kept(path)
        return
    with pytest.raises(InvalidInput, match=r"^[^\n]*damaged\.measurements\.json[^\n]*$"):
        read_kept(path)


# --------------------------------------------------------------------------------------- back to the search


def test_measurements_of_a_run_lead_to_its_search_again(folder: Path, capsys: Out) -> None:
    run = make_run(folder / "a run", count=4, latency_budget=3.0)
    rows = (folder / "more.csv").read_text().splitlines()
    (run / "measured.csv").write_text("\n".join([rows[0], *(f"../{row}" for row in rows[1:])]))
    assert main(["calibrate", "--add", "a run/measured.csv", "--target", "host", "--name", "again"]) == 0
    shown = capsys.readouterr().out
    assert "added to host, beside its prediction" in shown and "from 8 networks, now +- " in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("next: ")]
    words = shlex.split(line)[2:]
    assert words[:4] == ["search", "--target", "./again.toml", "--space"] and words[-2:] == ["--out", "a run-again"]
    args = build_parser(words).parse_args(words)
    assert search_config(args).latency_ms == pytest.approx(
        json.loads((run / "best.json").read_text())["wanted_latency"]
    )


SETTINGS = {
    "max_params": st.integers(10**5, 10**8), "max_flash_kb": st.floats(10, 1e4), "around": st.booleans(),
    "minimize": st.sampled_from([(), ("macs", "params")]), "forest_bounds": st.sampled_from([(), ("a.forest.json:3",)]),
    "data": st.sampled_from(["digits", "fashion-mnist"]), "resolution": st.sampled_from([224, 64]),
    "preset": st.sampled_from(["smoke", "quick", "standard"]),
    "accuracy_model": st.sampled_from([None, "none", "ridge"]), "seed": st.integers(0, 99),
    "flip": st.sampled_from([None, True, False]), "background": st.sampled_from([255, 0]),
    "fit": st.sampled_from(["crop", "pad"]), "baseline": st.sampled_from(["mobilenetv4-conv-s", "none"]),
    "one_stage": st.booleans(), "core_hours": st.sampled_from([None, 0.5]),
}  # fmt: skip


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("again") / "run", count=3)


@settings(max_examples=25)
@given(st.fixed_dictionaries(SETTINGS))
def test_the_search_again_repeats_every_setting(run_folder: Path, changed: dict[str, Any]) -> None:
    stored = json.loads((run_folder / "experiment.json").read_text())
    config = SearchConfig(**changed)
    stored["settings"] = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(config).items()}
    (run_folder / "experiment.json").write_text(json.dumps(stored))
    words = shlex.split(again(run_folder, "./new.toml", ANY).command)[1:]
    found = search_config(build_parser(words).parse_args(words))
    budget = json.loads((run_folder / "best.json").read_text())["wanted_latency"]
    assert found.target == "./new.toml" and found.latency_ms == pytest.approx(budget, rel=1e-5)
    same = {name: value for name, value in vars(found).items() if name not in ("target", "latency_ms", "data_dir")}
    assert same == {name: value for name, value in vars(config).items() if name in same}


def test_a_budget_out_of_reach_is_moved_and_that_is_said(run_folder: Path) -> None:
    found = again(run_folder, "./new.toml", (500.0, 900.0))
    assert "--latency-ms 525 " in found.command and found.note is not None
    assert found.note.startswith("new takes 500 to 900 ms for the networks of that space: the budget of the run")


def test_a_supernet_that_was_trained_once_is_searched_again(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", count=3)
    stored = json.loads((run / "experiment.json").read_text())
    stored["request"] = {"algorithm": "nsga2", "settings": []}
    stored["settings"] |= {"max_params": 3_000_000, "preset": "smoke", "seed": 3}
    (run / "experiment.json").write_text(json.dumps(stored))
    (run / "supernet.safetensors").write_bytes(b"")
    words = shlex.split(again(run, "./new.toml", ANY).command)
    assert words[2:8] == ["--target", "./new.toml", "--algorithm", "nsga2", "--from", str(run)]
    assert "--max-params" in words and not {"--preset", "--seed", "--space"} & {*words}
