"""Runs that commit dda5e84 made stay readable, and the killed ones go on: tests/data/runs/README.md says what they are.

Everything goes through the command line. What a processor's rounding may change (which network a search finds) is
compared with what was stored only as far as any processor must agree: devices, latency budgets, the first losses.
"""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from nas.cli import main
from nas.nn.weight_file import read_tensors

STORED = Path(__file__).resolve().parents[1] / "data" / "runs"
JOINT = ("finished", "chosen-alone", "killed-report")  # with a best.json, and no report.html
TARGETS = ("edgetpu", "pixel6-cpu")  # of `many` and of its killed copies
RESULTS = (*JOINT, "many/edgetpu", "many/pixel6-cpu", "many/universal", "many-killed-searching/edgetpu")
FRONTS = tuple(run for run in RESULTS if (STORED / run / "front.csv").exists())
INTERRUPTED = {  # run -> kind, stage, step, steps
    "killed-coarse": ("search", "coarse", 8, 16),
    "killed-fine": ("search", "fine", 6, 16),
    "many-killed-training": ("nsga2", "supernet", 10, 16),
    "many-killed-searching": ("nsga2", "pixel6-cpu/coarse", 4, None),
    "trained-killed": ("training", "train", 220, None),
}
TRAIN = ("--proxy", "--proxy-width", 0.02, "--epochs", 20)  # of both trainings
BUDGET = 1.01  # how far above its latency budget a network may be
LOSSES = ("loss", "loss_largest", "loss_smallest", "loss_random")
Out = Callable[..., str]


def copied(folder: Path) -> Path:
    """Return a folder with copies of all stored runs, as they stood when they had ended or were killed."""
    runs = shutil.copytree(STORED, folder / "runs")
    packed = runs / "trained-killed" / "checkpoints.zip"
    with ZipFile(packed) as archive:
        archive.extractall(packed.parent)
    packed.unlink()
    for run in (*INTERRUPTED, "killed-report"):
        (runs / run / ".lock").write_text('{"pid": 1, "host": "elsewhere"}')
    return runs


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Copies of all stored runs."""
    return copied(tmp_path)


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies in which the two runs that were killed before any checkpoint have gone on to their end."""
    runs = copied(tmp_path_factory.mktemp("resumed"))
    for run in ("killed-coarse", "many-killed-training"):
        assert main(["resume", str(runs / run)]) == 0
    return runs


def stored(*parts: str) -> Any:
    """Return the JSON value of a stored file."""
    return json.loads(STORED.joinpath(*parts).read_text())


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table."""
    with path.open() as file:
        return list(csv.DictReader(file))


def journal(run: Path) -> list[dict[str, Any]]:
    """Return the records of a journal."""
    return [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]


def contents(folder: Path, *, but: str = "") -> dict[str, str]:
    """Return the digests of all files in a folder, without those of the name `but`."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != but)
    return {path.relative_to(folder).as_posix(): digest(path) for path in paths}


def digest(path: Path) -> str:
    """Return what stands for the bytes of a file: pytest would take minutes to show how these differ."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def device(best: dict[str, Any]) -> tuple[str, ...]:
    """Return the flags that name the device of a result."""
    name = best["target"]
    return ("--ridge-point", name.removeprefix("ridge-point-")) if name.startswith("ridge") else ("--target", name)


def latency_of(shown: dict[str, Any]) -> float:
    """Return the latency in what `nas describe --json` shows, in ms or as a ratio."""
    return float(shown["latency_ms"] if shown["unit"] == "ms" else shown["latency_ratio"])


def check_result(out: Out, run: Path) -> dict[str, Any]:
    """Check that the run's best network is whole, costs what its best.json says, and keeps its budget; return it."""
    best: dict[str, Any] = json.loads((run / "best.json").read_text())
    shown = json.loads(out("describe", run, *device(best), "--json"))
    assert (shown["macs"], shown["params"]) == (best["macs"], best["params"])
    assert latency_of(shown) == pytest.approx(best["latency"])
    assert best["latency"] <= best["wanted_latency"] * BUDGET
    return best


# ----------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("run", RESULTS)
def test_describe_shows_the_stored_costs(out: Out, runs: Path, run: str) -> None:
    best = stored(run, "best.json")
    shown = json.loads(out("describe", runs / run, *device(best), "--json"))
    assert (shown["name"], shown["target"]) == (best["arch"]["name"], best["target"])
    assert (shown["input_shape"], shown["num_classes"]) == ([224, 224, 3], 10)
    assert (shown["macs"], shown["params"]) == (best["macs"], best["params"])
    assert shown["peak_activation_bytes"] == best["peak_activation_bytes"]
    assert shown["weight_bytes"] == best["weight_bytes"]
    assert latency_of(shown) == pytest.approx(best["latency"])
    assert f"{best['params']:,}" in out("describe", runs / run, *device(best))


@pytest.mark.parametrize("run", FRONTS)
def test_every_network_of_a_front_costs_what_its_row_says(out: Out, runs: Path, run: str) -> None:
    best, front = stored(run, "best.json"), rows(runs / run / "front.csv")
    assert front
    for row in front:
        shown = json.loads(out("describe", runs / run / row["spec"], *device(best), "--json"))
        assert (shown["macs"], shown["params"]) == (int(row["macs"]), int(row["params"]))
        assert latency_of(shown) == pytest.approx(float(row["latency"]))


def test_describe_takes_a_training(out: Out, runs: Path) -> None:
    shown = json.loads(out("describe", runs / "trained", "--json"))
    assert shown == json.loads(out("describe", runs / "trained" / "arch.json", "--json"))
    assert (shown["input_shape"], shown["num_classes"]) == ([8, 8, 3], 10)
    assert [kernel["name"] for kernel in shown["kernels"]] == [
        kernel["name"] for kernel in json.loads(out("describe", runs / "many" / "edgetpu", "--json"))["kernels"]
    ]


def test_compare_puts_all_runs_side_by_side(out: Out, runs: Path, tmp_path: Path) -> None:
    targets = ("pixel8-edgetpu", "rpi5")
    items = [runs / run for run in (*JOINT, "many", "trained")]
    shown = json.loads(out("compare", *items, "--targets", ",".join(targets), "--out", tmp_path / "page", "--json"))
    table = {(row["name"], row["target"]): row for row in shown["rows"]}
    for run in RESULTS[:-1]:
        best = stored(run, "best.json")
        latencies = {best["target"]: best["latency"]} | best["other_latencies_ms"]
        for target in targets:
            row = table[run, target]
            assert (row["digest"], row["macs"], row["params"]) == (best["digest"], best["macs"], best["params"])
            assert row["latency_ms"] == pytest.approx(latencies[target])
            assert row["top1"] == pytest.approx(best["accuracy"]["top1"])
    for run in set(FRONTS) & set(RESULTS[:-1]):
        best = stored(run, "best.json")
        for row in rows(STORED / run / "front.csv"):
            if row["digest"] != best["digest"]:
                assert table[f"{run}/{row['digest'][:8]}", "rpi5"]["top1"] == pytest.approx(float(row["top1"]))
    assert table["chosen-alone in the supernet", "rpi5"]["top1"] == pytest.approx(0.34375)
    assert table["trained", "rpi5"]["top1"] == pytest.approx(stored("trained", "train.json")["accuracy"]["top1"])
    assert json.loads((tmp_path / "page" / "comparison.json").read_text())["rows"] == shown["rows"]
    assert "many/universal" in (tmp_path / "page" / "compare.html").read_text()
    assert (tmp_path / "page" / "compare.png").read_bytes()[:4] == b"\x89PNG"


def test_runs_lists_all_with_their_states(out: Out, runs: Path) -> None:
    listed = {Path(run["path"]).relative_to(runs).as_posix(): run for run in json.loads(out("runs", runs, "--json"))}
    assert set(listed) == {*RESULTS, *INTERRUPTED, "many", "trained"}
    assert {run["note"] for run in listed.values()} == {""}
    assert {name for name, run in listed.items() if run["state"] == "interrupted"} == set(INTERRUPTED)
    assert {name for name, run in listed.items() if run["state"] == "finished"} == {*RESULTS, "many", "trained"}
    for name, known in INTERRUPTED.items():
        assert tuple(listed[name][key] for key in ("kind", "stage", "step", "steps")) == known
    for name in RESULTS:
        best = stored(name, "best.json")
        assert (listed[name]["latency"], listed[name]["top1"]) == (best["latency"], best["accuracy"]["top1"])
        assert listed[name]["kind"] == ("search" if name in JOINT else "nsga2")
    assert listed["many"]["target"] == "edgetpu, pixel6-cpu"
    assert listed["killed-fine"]["latency"] == journal(STORED / "killed-fine")[-1]["argmax_latency"]
    assert listed["trained"]["top1"] == stored("trained", "train.json")["accuracy"]["top1"]


@pytest.mark.parametrize("run", INTERRUPTED)
def test_watch_says_where_a_killed_run_stands(out: Out, runs: Path, run: str) -> None:
    kind, stage, step, steps = INTERRUPTED[run]
    shown = out("watch", runs / run)
    assert f"interrupted, {kind}, at {stage} {step}" + (f"/{steps}" if steps else "") in shown
    assert (f"nas resume {runs / run}" in shown) == (kind != "training")


@pytest.mark.parametrize("run", [*RESULTS, "trained"])
def test_export_writes_the_spec(out: Out, runs: Path, tmp_path: Path, run: str) -> None:
    spec = tmp_path / "spec.json"
    out("export", runs / run, "--format", "json", "--out", spec)
    written = json.loads(spec.read_text())
    known = stored(run, "train.json" if run == "trained" else "best.json")
    assert written.pop("metadata")["spec.digest"] == known["digest"]
    assert {**written, "name": ""} == {**known["arch"], "name": ""}
    costs = [json.loads(out("describe", item, "--target", "edgetpu", "--json")) for item in (spec, runs / run)]
    assert {**costs[0], "name": ""} == {**costs[1], "name": ""}


@pytest.mark.parametrize("run", ["chosen-alone", "trained"])
def test_export_writes_onnx(out: Out, runs: Path, tmp_path: Path, run: str) -> None:
    onnx, numpy = pytest.importorskip("onnx"), pytest.importorskip("safetensors.numpy")
    pytest.importorskip("onnxruntime")
    weights = [] if run == "trained" else ["--random-weights"]
    out("export", runs / run, *weights, "--format", "onnx", "--out", tmp_path / "network.onnx")
    graph = onnx.load(str(tmp_path / "network.onnx")).graph
    side = 8 if run == "trained" else 224
    shapes = [[d.dim_value for d in v.type.tensor_type.shape.dim][1:] for v in (graph.input[0], graph.output[0])]
    assert shapes == [[3, side, side], [10]]
    if run == "trained":  # the last layer is not folded: its weights are those that were stored
        tensors = {value.tobytes() for value in map(onnx.numpy_helper.to_array, graph.initializer)}
        weights = numpy.load_file(STORED / "trained" / "weights.safetensors")
        kernel = next(value for value in weights.values() if value.shape[-1] == 10 and value.ndim == 2)
        assert {kernel.tobytes(), kernel.T.tobytes()} & tensors


# ------------------------------------------------------------------------------------------------- what has finished


@pytest.mark.parametrize("run", JOINT)
def test_resume_of_a_finished_search_only_writes_its_report(out: Out, runs: Path, run: str) -> None:
    best = stored(run, "best.json")
    shown = out("resume", runs / run)
    assert f"{best['latency']:.3f} {best['latency_unit']}" in shown
    assert f"{best['macs']:,}, {best['params']:,}" in shown
    assert contents(runs / run, but="report.html") == contents(STORED / run)
    report = (runs / run / "report.html").read_text()
    assert best["digest"][:12] in report and f"{best['params']:,}" in report
    for row in rows(runs / run / "front.csv"):
        assert row["digest"][:12] in report
    written = (runs / run / "report.html").stat().st_mtime_ns
    assert out("resume", runs / run) == shown
    assert (runs / run / "report.html").stat().st_mtime_ns == written


def test_resume_of_finished_searches_for_many_targets_changes_nothing(out: Out, runs: Path) -> None:
    shown, exact = out("resume", runs / "many"), out("resume", runs / "many", "--json")
    for target in TARGETS:
        assert f'"macs": {stored("many", target, "best.json")["macs"]},' in exact
    for network in stored("many", "universal.json")["networks"]:
        assert f"{100 * network['worst_regret']:.2f}" in shown
    assert contents(runs / "many") == contents(STORED / "many")


def test_finalists_go_on_in_their_old_folder(out: Out, runs: Path) -> None:
    """Of two finalists one is known to the end, its weights being there; the last epoch of the other comes anew."""
    folder = runs / "chosen-alone-finalists"
    first, second = rows(folder / "finalists.csv")
    (folder / "trials" / first["digest"][:12] / "weights.safetensors").write_bytes(b"stands for those left out")
    curve = folder / "trials" / second["digest"][:12] / "curve.jsonl"
    known = curve.read_text().splitlines()
    curve.write_text(known[0] + "\n")
    (folder / "finalists.csv").unlink()
    out("finalists", runs / "chosen-alone", "--top", 2, "--epochs", 2, "--out", folder)
    found = {row["digest"]: row for row in rows(folder / "finalists.csv")}
    assert set(found) == {first["digest"], second["digest"]}
    assert {row["state"] for row in found.values()} == {"finished"}
    assert found[first["digest"]]["alone_top1"] == first["alone_top1"]
    assert float(found[second["digest"]]["alone_top1"]) == pytest.approx(float(second["alone_top1"]), abs=0.05)
    assert curve.read_text().splitlines()[0] == known[0]
    assert (curve.parent / "weights.safetensors").stat().st_size > 4 * 100_000


# --------------------------------------------------------------------------------------------------- what was killed


def check_rpi5(out: Out, run: Path) -> None:
    """Check what the search for a Raspberry Pi 5 found, as far as any processor must agree."""
    known, best = stored("expected.json"), check_result(out, run)
    for name in ("space", "target", "latency_unit", "seed"):
        assert best[name] == known[name]
    assert best["wanted_latency"] == pytest.approx(known["wanted_latency"])
    assert best["latency"] == pytest.approx(known["latency"], rel=0.05)
    if best["genotype"] == known["genotype"]:
        assert [best[name] for name in ("digest", "macs", "params")] == [
            known[name] for name in ("digest", "macs", "params")
        ]
    assert best["digest"] in {row["digest"] for row in rows(run / "evaluated.csv")}
    assert not (run / ".lock").exists()


def check_same_start(run: Path, old: str, count: int) -> None:
    """Check that the first `count` records of a journal that began anew are the old ones, to a processor's rounding."""
    for new, known in zip(journal(run)[:count], journal(STORED / old)[:count], strict=True):
        assert new.keys() == known.keys()
        for name, value in known.items():
            if name in LOSSES:
                assert new[name] == pytest.approx(value, rel=1e-3)
            elif name in ("stage", "step", "steps", "decisions", "target_latency", "latency_unit"):
                assert new[name] == value


def test_a_search_killed_in_its_coarse_stage_goes_on(out: Out, resumed: Path) -> None:
    run = resumed / "killed-coarse"
    check_rpi5(out, run)
    check_same_start(run, "killed-coarse", 3)
    assert [(record["stage"], record["step"]) for record in journal(run) if "loss" in record] == [
        (stage, step) for stage in ("coarse", "fine") for step in range(2, 17, 2)
    ]
    assert {"front.csv", "report.html", "inherited.safetensors"} <= set(contents(run))


def test_a_search_killed_in_its_fine_stage_goes_on(out: Out, runs: Path, resumed: Path) -> None:
    run = runs / "killed-fine"
    shutil.copytree(resumed / "killed-coarse" / "checkpoints" / "coarse", run / "checkpoints" / "coarse")
    out("resume", run)
    check_rpi5(out, run)
    old, new = journal(STORED / "killed-fine"), journal(run)
    coarse = [record for record in old if record["stage"] == "coarse"]
    assert len(coarse) == 9
    assert new[:9] == coarse
    assert [record["step"] for record in new if record["stage"] == "fine" and "loss" in record] == [*range(2, 17, 2)]
    assert digest(run / "coarse.json") == digest(STORED / "killed-fine" / "coarse.json")


def check_many(out: Out, run: Path) -> None:
    """Check the results for both targets and the network for all."""
    for target in TARGETS:
        best, known = check_result(out, run / target), stored("many", target, "best.json")
        for name in ("space", "target", "latency_unit", "seed", "proxy_width"):
            assert best[name] == known[name]
        assert best["wanted_latency"] == pytest.approx(known["wanted_latency"])
        assert best["digest"] in {row["digest"] for row in rows(run / target / "evaluated.csv")}
    table, known = json.loads((run / "universal.json").read_text()), stored("many", "universal.json")
    assert (table["version"], table["targets"]) == (known["version"], known["targets"])
    assert [one["name"] for one in table["networks"]] == [*TARGETS, "universal"]
    assert table["networks"][-1]["digest"] == check_result(out, run / "universal")["digest"]
    assert journal(run)[-1] == journal(STORED / "many")[-1]


def test_a_run_for_many_targets_killed_in_its_training_goes_on(out: Out, resumed: Path) -> None:
    run = resumed / "many-killed-training"
    check_many(out, run)
    check_same_start(run, "many-killed-training", 3)


def test_a_run_for_many_targets_killed_in_a_search_goes_on(out: Out, runs: Path, resumed: Path) -> None:
    """What was evaluated before the kill is not evaluated again: the first target's results come from the journal."""
    run, known = runs / "many-killed-searching", stored("many", "edgetpu", "best.json")
    shutil.copy(resumed / "many-killed-training" / "supernet.safetensors", run)
    out("resume", run)
    check_many(out, run)
    old = journal(STORED / "many-killed-searching")
    assert len(old) == 25
    assert journal(run)[: len(old)] == old
    best = json.loads((run / "edgetpu" / "best.json").read_text())
    for name in ("genotype", "digest", "accuracy", "macs", "params"):
        assert best[name] == known[name]
    front = [(row["digest"], row["top1"]) for row in rows(run / "edgetpu" / "front.csv")]
    assert front == [(row["digest"], row["top1"]) for row in rows(STORED / "many" / "edgetpu" / "front.csv")]


def test_a_killed_training_goes_on_from_its_old_checkpoint(out: Out, runs: Path) -> None:
    """The kill came after the last step, so the accuracy is of the weights that the checkpoint holds."""
    run, known = runs / "trained-killed", stored("trained", "train.json")
    checkpoints = contents(run / "checkpoints")
    assert len(checkpoints) == 13
    out("train", runs / "many" / "edgetpu", *TRAIN, "--out", run)
    assert contents(run / "checkpoints") == checkpoints  # no step was left; one passed over would be written anew
    done = json.loads((run / "train.json").read_text())
    top1 = done.pop("accuracy")["top1"], known.pop("accuracy")["top1"]
    assert top1[0] == pytest.approx(top1[1], abs=2 / 360)
    for one in (done, known):
        del one["arch"]["name"]  # proxies have since been called by their resolution
    assert {name: done[name] for name in known} == known  # and what trainings state since release 0.2
    assert done.keys() - known.keys() == {"input", "class_names", "balanced_accuracy", "class_accuracy"}
    assert digest(run / "settings.json") == digest(STORED / "trained" / "settings.json")
    found, before = (read_tensors(folder / "weights.safetensors")[0] for folder in (run, STORED / "trained"))
    assert {name: one.shape for name, one in found.items()} == {name: one.shape for name, one in before.items()}
