"""nas finalists: which networks it takes from a run, what it refuses, and a whole one on a tiny run."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from nas.arch import load_arch
from nas.cli import main
from nas.errors import InvalidInput
from nas.records.locks import locked
from nas.records.results import result_of_run
from nas.runs.front_training import IN_FLOATS, best_of_front, images_of_run
from nas.space.scaling import scale_down
from tests.support.run_folder import SPACE, make_run
from tests.support.tiny import images

SAVED = ("x_train", "y_train", "x_test", "y_test")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


def test_the_best_of_the_front_within_the_latency_are_taken(run: Path) -> None:
    result = result_of_run(run)
    with (run / "front.csv").open() as file:
        rows = {row["digest"]: row for row in csv.DictReader(file)}
    found = best_of_front(run, result, 3)
    assert 1 <= len(found) <= 3
    assert all(one.latency <= result.latency_budget * 1.01 for one in found)
    within = sorted(
        float(row["top1"]) for row in rows.values() if float(row["latency"]) <= result.latency_budget * 1.01
    )
    assert [one.supernet_top1 for one in found] == within[::-1][:3]
    assert all(one.arch.input_shape.height == result.proxy_resolution for one in found)
    with pytest.raises(InvalidInput, match="nothing on the front"):
        best_of_front(run, replace(result, latency_budget=1e-6), 3)


def test_altered_runs_are_refused(run: Path) -> None:
    result = result_of_run(run)
    spec = run / "specs" / f"{best_of_front(run, result, 1)[0].digest[:12]}.json"
    spec.write_text(next(path for path in sorted(run.glob("specs/*.json")) if path != spec).read_text())
    with pytest.raises(InvalidInput, match="a file was altered"):
        best_of_front(run, result, 1)
    (run / "front.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInput, match="does not hold the front of a search"):
        best_of_front(run, result, 1)


def test_bad_requests_are_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flags, words in (
        ([str(tmp_path)], "is no run folder"),
        ([str(run), "--scheduler", "ahsa"], "did you mean 'asha'"),
        ([str(run), "--scheduler", "asha"], "add --workers N"),
        ([str(run)], "lacks what names its images"),  # the synthetic run names no data digest
    ):
        assert main(["finalists", *flags]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and words in error


def test_the_whole_command_on_images_of_8_px(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    from nas.data import load

    data = images(classes=SPACE.num_classes, count=200)
    np.savez(tmp_path / "quarters.npz", **{name: getattr(data, name) for name in SAVED})
    stored = json.loads((run / "experiment.json").read_text())
    stored["settings"]["data"] = str(tmp_path / "quarters.npz")
    stored["data"] = {"digest": load(str(tmp_path / "quarters.npz")).digest}
    (run / "experiment.json").write_text(json.dumps(stored))
    flags = ["finalists", str(run), "--top", "1", "--epochs", "1", "--batch-size", "32", "--out", str(tmp_path / "out")]
    assert main(flags) == 0
    assert "finished" in capsys.readouterr().out
    with locked(tmp_path / "out"):
        assert main(flags) == 2
    assert "is working on" in capsys.readouterr().err
    with (tmp_path / "out" / "finalists.csv").open() as file:
        (row,) = csv.DictReader(file)
    (one,) = best_of_front(run, result_of_run(run), 1)
    assert (row["digest"], row["state"]) == (one.digest, "finished")
    deployed = load_arch(run / "specs" / f"{one.digest[:12]}.json")
    trained = load_arch(next((tmp_path / "out").glob("trials/*/arch.json")))
    assert trained == one.arch == scale_down(deployed, 16, 0.5)
    assert IN_FLOATS not in images_of_run(run).lines
    stored["settings"]["quantize"] = "int8"
    (run / "experiment.json").write_text(json.dumps(stored))
    assert images_of_run(run).lines[-1] == IN_FLOATS
    assert main([*flags, "--epochs", "2"]) == 2  # in the same folder
    assert "holds trials with another settings" in capsys.readouterr().err
