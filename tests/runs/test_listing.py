"""nas runs and nas watch: states from the files of a run and its lock alone, for kinds of runs known and unknown."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nas.cli import main
from nas.cli.commands.watch import watch
from nas.cli.tables.runs import ending
from nas.errors import InvalidInput
from nas.records.locks import locked
from nas.records.results import load_result
from nas.runs.listing import Run, read_run, runs_below
from tests.support.run_folder import make_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs of all kinds."""
    root = tmp_path_factory.mktemp("all")
    make_run(root / "one", count=4)
    make_run(root / "deeper" / "killed", finished=False)
    training(root / "trained", {"steps": 90, "accuracy": {"top1": 0.75}})
    training(root / "training", None)
    several(root / "several", done=True)
    several(root / "going", done=False)
    write(root / "odd" / "experiment.json", {"made": "by another release"})
    (root / "torn").mkdir()
    (root / "torn" / "experiment.json").write_text('{"settings": ')
    write(root / "no run" / "other.json", {})
    return root


def write(path: Path, value: object) -> None:
    """Write a value as JSON into a folder that may be new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def training(folder: Path, about: object) -> None:
    """The folder of a training."""
    write(folder / "settings.json", {"schema": "nas.training"})
    (folder / "checkpoints" / "40").mkdir(parents=True)
    if about:
        write(folder / "train.json", about)


def several(folder: Path, *, done: bool) -> None:
    """The folder of a search of an algorithm for two targets."""
    settings = {"target": "edgetpu", "preset": "quick"}
    write(
        folder / "experiment.json",
        {"settings": settings, "targets": ["edgetpu", "rpi5"], "request": {"algorithm": "nsga2"}},
    )
    lines = [
        {"stage": "supernet", "step": 40, "steps": 40, "loss": 1.0},
        {"stage": "edgetpu coarse", "asked": [[0], [1], [2]], "accuracy": [0.5, None, 0.6]},
        {"stage": "edgetpu coarse", "asked": [[3]], "accuracy": [0.55]},
        *([{"stage": "done"}] if done else []),
    ]
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write(folder / "edgetpu" / "experiment.json", {"settings": settings, "algorithm": "nsga2"})
    write(folder / "edgetpu" / "best.json", {"latency": 0.7, "accuracy": {"top1": 0.6}})


def by_name(root: Path) -> dict[str, Run]:
    """Return the runs by their paths below `root`."""
    return {str(Path(run.path).relative_to(root)): run for run in runs_below(root)}


def test_states_and_numbers_of_all_kinds(root: Path) -> None:
    found = by_name(root)
    states = {name: (run.kind, run.state) for name, run in found.items()}
    assert states == {
        "one": ("search", "finished"), "deeper/killed": ("search", "interrupted"),
        "trained": ("training", "finished"), "training": ("training", "interrupted"),
        "several": ("nsga2", "finished"), "several/edgetpu": ("nsga2", "finished"),
        "going": ("nsga2", "interrupted"), "going/edgetpu": ("nsga2", "finished"),
        "odd": ("search", "interrupted"), "torn": ("unknown", "broken"),
    }  # fmt: skip
    best, one, killed = load_result(root / "one" / "best.json"), found["one"], found["deeper/killed"]
    assert (one.latency, one.top1, one.preset) == (best.latency, best.accuracy.top1, "quick")
    assert (killed.stage, killed.step, killed.steps) == ("fine", 60, 240) and killed.latency is not None
    assert (found["going"].stage, found["going"].step, found["going"].top1) == ("edgetpu coarse", 4, 0.6)
    assert found["several"].target == "edgetpu, rpi5" and found["several/edgetpu"].latency == 0.7
    assert found["trained"].top1 == 0.75 and found["training"].step == 40
    assert "not valid JSON" in found["torn"].note


def test_a_run_at_work_is_running(root: Path) -> None:
    with locked(root / "deeper" / "killed"):
        run = by_name(root)["deeper/killed"]
        assert run.state == "running" and run.holder is not None and run.holder.startswith("process ")
    assert by_name(root)["deeper/killed"].state == "interrupted"


def test_a_folder_that_is_a_run_and_one_that_is_none(root: Path, tmp_path: Path) -> None:
    assert [run.path for run in runs_below(root / "one")] == [str(root / "one")]
    assert runs_below(tmp_path) == []
    with pytest.raises(InvalidInput, match="there is no folder"):
        runs_below(tmp_path / "nowhere")


def test_commands(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(root)]) == 0
    shown = capsys.readouterr().out
    assert (
        "interrupted" in shown and "fine 60/240" in shown and "edgetpu coarse 4" in shown and "not valid JSON" in shown
    )
    assert main(["runs", str(root), "--json"]) == 0
    assert {row["state"] for row in json.loads(capsys.readouterr().out)} == {"finished", "interrupted", "broken"}
    assert main(["runs", str(tmp_path)]) == 0 and "no runs below" in capsys.readouterr().out
    assert main(["watch", str(root / "deeper" / "killed")]) == 0
    assert f"go on with: nas resume {root / 'deeper' / 'killed'}" in capsys.readouterr().out
    assert main(["watch", str(tmp_path), "--once"]) == 2 and "is no folder of a run" in capsys.readouterr().err


def test_watch_follows_a_run_to_its_end(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed = replace(read_run(root / "deeper" / "killed"), state="running", holder="process 7 on here")
    looks: Iterator[Run] = iter([
        replace(killed, stage=None, step=None), killed, replace(killed, step=120), replace(killed, state="finished"),
    ])  # fmt: skip
    waited: list[float] = []
    last = watch(lambda: next(looks), once=False, sleep=waited.append)
    assert last.state == "finished" and len(waited) == 3
    assert "fine 60/240: loss" in capsys.readouterr().out
    assert "± 22 %" in ending(replace(killed, latency_error_percent=21.5)) and "±" not in ending(killed)
    assert watch(lambda: killed, once=True) == killed and "running (process 7 on here)" in ending(killed)
