"""nas show, --json and --plan, and the folder that a search gets where none is named."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from nas.cli.commands.search import search_config
from nas.cli.flags.search import out_folder
from nas.cli.parser import build_parser
from nas.records.results import load_result

Run = Callable[..., str]
RUNS = Path(__file__).parents[1] / "data" / "runs"
MAIN = "runs/uib-pixel6-cpu-digits-quick-s0"


def folder_of(flags: str) -> str:
    argv = ["search", *flags.split()]
    return str(out_folder(build_parser(argv).parse_args(argv)))


# ------------------------------------------------------------------------------------------------------- the folder


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("", MAIN),
        ("--space uib --target pixel6-cpu", MAIN),
        ("--workers 2 --json --plan", MAIN),
        ("--latency 4ms", "runs/uib-pixel6-cpu-4ms-digits-quick-s0"),
        ("--latency-ms 0.004", "runs/uib-pixel6-cpu-0.004ms-digits-quick-s0"),
        ("--latency 250us --resolution 96 --target rpi5", "runs/uib-rpi5-0.25ms-96px-digits-quick-s0"),
        ("--max-params 3M --max-memory 320KiB", "runs/uib-pixel6-cpu-params3M-memory320KiB-digits-quick-s0"),
        ("--max-params 1234567 --data x/mine.npz", "runs/uib-pixel6-cpu-params1234567-mine-quick-s0"),
        ("--algorithm nsga2 --target rpi5,edgetpu --latency 4ms,1ms --universal --seed 3",
         "runs/uib-rpi5-edgetpu-4-1ms-digits-quick-nsga2-universal-s3"),
        ("--preset smoke --proxy-width 0.5", "runs/uib_smoke-pixel6-cpu-digits-smoke-proxy_width0.5-s0"),
        ("--ridge-point 5 --latency-ratio 0.8", "runs/uib-ridge5-0.8x-digits-quick-s0"),
        ("--minimize memory,flash", "runs/uib-pixel6-cpu-digits-quick-minimizememory-flash-s0"),
        ("--out here", "here"),
    ],
)  # fmt: skip
def test_the_name_of_a_folder(flags: str, name: str) -> None:
    assert folder_of(flags) == name


def test_other_settings_have_other_folders() -> None:
    changes = (
        "--latency 4ms", "--latency 4.0001ms", "--latency-ratio 4", "--max-params 4M", "--max-params 4000001",
        "--max-macs 4M", "--max-memory 4MiB", "--max-flash 4MiB", "--max-energy 4mJ", "--resolution 225", "--seed 4",
        "--minimize memory", "--bound a.forest.json:4", "--bound a.forest.json:5", "--preset smoke", "--trials 4",
        "--finalists 4", "--proxy-resolution 4", "--proxy-width 0.4", "--latency-model plain-roofline", "--target rpi5",
        "--space uib_smoke", "--data d4", "--algorithm random", "--evaluator my:E", "--from runs/x",
    )  # fmt: skip
    assert len({folder_of(flags) for flags in ("", *changes)}) == len(changes) + 1


def test_a_long_name_is_cut_and_stays_its_own() -> None:
    long, longer = (folder_of(f"--minimize {','.join(f'cost{i}' for i in range(n))}") for n in (40, 41))
    assert len(long) == len(longer) < 150
    assert long != longer


# ------------------------------------------------------------------------------------------------------------- show


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("finished", ("found in uib_smoke for pixel8-edgetpu", "188,460,800", "next")),
        ("many/edgetpu", ("the best that was evaluated",)),
        ("many", ("regret in points of top-1", "edgetpu", "pixel6-cpu", "next: nas compare")),
        ("chosen-alone-finalists", ("finalists trained alone", "a415db9fed37", "73.87%")),
        ("trained", ("test top-1 65.28%", "trained alone, test images", "next: nas ")),
    ],
)  # fmt: skip
def test_show_prints_what_was_found(run: str, words: tuple[str, ...], out: Run) -> None:
    shown = out("show", RUNS / run)
    assert [word for word in words if word not in shown] == []


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("killed-coarse", "has not finished; go on with: nas resume "),
        ("many-killed-searching", "has not finished; go on with: nas resume "),
        ("trained-killed", "has not finished; the command that began it goes on"),
        ("", "is no folder of a run, a training, finalists, a ranking or a comparison"),
        ("nothing-here", "there is no folder"),
    ],
)
def test_show_of_what_is_not_finished(run: str, words: str, refusal: Run) -> None:
    assert words in refusal("show", RUNS / run)


def test_show_json(out: Run) -> None:
    one = json.loads(out("show", RUNS / "finished", "--json"))
    assert one == {"folder": str(RUNS / "finished"), **load_result(RUNS / "finished" / "best.json").to_dict()}
    many = json.loads(out("show", RUNS / "many", "--json"))
    assert list(many["targets"]) == ["edgetpu", "pixel6-cpu"]
    assert many["targets"]["edgetpu"]["digest"] == load_result(RUNS / "many/edgetpu/best.json").arch.digest
    assert {"universal", "regrets"} <= set(many)
    trained = json.loads(out("show", RUNS / "trained", "--json"))
    assert trained["accuracy"] == json.loads((RUNS / "trained" / "train.json").read_text())["accuracy"]
    assert len(json.loads(out("show", RUNS / "chosen-alone-finalists", "--json"))["finalists"]) == 2


def test_show_prints_a_comparison_again(out: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("nas.compare.plot"), "comparison_plot", lambda *_: b"no plot")
    runs = (RUNS / "many/edgetpu", RUNS / "many/pixel6-cpu", "mobilenetv1")
    first = out("compare", *runs, "--targets", "edgetpu,pixel6-cpu", "--out", tmp_path / "c")
    tables = first.partition("references rebuilt")[0]
    assert out("show", tmp_path / "c").startswith(tables.rstrip("\n"))
    rows = json.loads(out("show", tmp_path / "c", "--json"))["rows"]
    assert {row["target"] for row in rows} == {"edgetpu", "pixel6-cpu"}


# ----------------------------------------------------------------------------------------------- --plan and --json


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("search --preset smoke", ("reachable", "8 px", "controller steps", "rough time", "best.json")),
        ("search --preset smoke --algorithm random --target rpi5,edgetpu", ("random: ", "target rpi5", "best.json")),
        ("train mobilenetv1 --proxy --epochs 3", ("proxy of width", "3 epochs of 11 steps", "weights.safetensors")),
    ],
)
def test_plan_writes_nothing(
    command: str, words: tuple[str, ...], out: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = out(*command.split(), "--plan")
    assert [word for word in words if word not in shown] == []
    value = json.loads(out(*command.split(), "--plan", "--json"))
    assert set(value) == {"command", "plan", "folder", "files"}
    assert all(line in shown for line in value["plan"])
    assert list(tmp_path.iterdir()) == []


def test_plan_refuses_what_the_search_would_refuse(refusal: Run, tmp_path: Path) -> None:
    assert "must lie between" in refusal("search", "--latency", "900s", "--plan", "--out", tmp_path / "x")


@pytest.fixture
def searched(tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder of a finished run, and the flags that make such a run: its report is there, which fixtures lack."""
    shutil.copytree(RUNS / "finished", run := tmp_path / "run")
    (run / "report.html").write_text("the report")
    flags = ["--preset", "smoke", "--minimize", "macs,params", "--seed", "2"]
    stored = json.loads((run / "experiment.json").read_text())
    settings = asdict(search_config(build_parser(["search"]).parse_args(["search", *flags])))
    (run / "experiment.json").write_text(json.dumps(stored | {"settings": settings}))
    return run, flags


def test_equal_settings_print_what_was_found_then(searched: tuple[Path, list[str]], capsys: Any) -> None:
    from nas.cli import main

    run, flags = searched
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["search", *flags, "--out", str(run), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["folder"] == str(run)
    assert "holds this search, finished" in shown.err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_other_settings_in_that_folder_are_refused(searched: tuple[Path, list[str]], refusal: Run) -> None:
    run, flags = searched
    said = refusal("search", *flags, "--max-macs", "700M", "--out", run)
    assert "holds a search with other settings; name another with --out" in said
    assert "other settings" in refusal("search", *flags, "--algorithm", "random", "--out", run)


# ------------------------------------------------------------------------------------------------ numbers that follow


@pytest.mark.parametrize("run", ["finished", "killed-report"])  # of a device, and of an abstract one
def test_costs_that_follow_from_network_and_target_are_predicted_again(run: str, out: Run, tmp_path: Path) -> None:
    shutil.copytree(RUNS / run, tmp_path / "run")
    assert "when searched" not in out("show", tmp_path / "run")
    path = tmp_path / "run" / "best.json"
    stated = json.loads(path.read_text())
    error = {"percent": 0.5, "mean_percent": 0.1, "basis": "a guess", "setup": "", "share_within": None}
    path.write_text(json.dumps({**stated, "latency": 0.1234, "weight_bytes": 7, "latency_error": error}))
    shown = " ".join(out("show", tmp_path / "run").replace("\u2502", " ").split())
    assert f"predicted latency {stated['latency']:.3f}" in shown
    assert f"the predicted latency was 0.1234 {stated['latency_unit']} when searched" in shown
    assert "bytes of weights were 7 when" in shown
    assert "\u00b1 0.5 %" not in shown.replace("was \u00b1 0.5 % when searched", "")
    found = json.loads(out("show", tmp_path / "run", "--json"))
    assert found["latency"] == pytest.approx(stated["latency"]) and found["weight_bytes"] == stated["weight_bytes"]


def test_a_target_that_is_gone_leaves_its_numbers_as_they_were(out: Run, tmp_path: Path) -> None:
    shutil.copytree(RUNS / "finished", tmp_path / "run")
    path = tmp_path / "run" / "best.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "target": "gone", "latency": 0.1234}))
    assert "0.123 ms" in out("show", tmp_path / "run")
