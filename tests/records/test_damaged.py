"""Files of runs that were damaged: every reader answers with one line or reads them, and never with another error."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.errors import InvalidInput, UnknownName
from nas.records.networks import load_item, load_trained
from nas.records.results import load_result, result_of_run
from nas.records.tables import rows_of
from nas.report.run_page import read_run as read_page
from nas.runs import joint_search, multi_target
from nas.runs.front_training import best_of_front, images_of_run
from nas.runs.listing import read_run, runs_below
from nas.runs.load_run import load_run
from nas.runs.multi_target_settings import MultiTargetConfig
from nas.runs.settings import SearchConfig

RUNS = Path(__file__).resolve().parents[1] / "data" / "runs"
WRONG = ["x", "", [], {}, None, True, -1, 0, 1.5, 10**200, -1e300, [[]], [None], {"a": 1}, "../..", "n" * 300, "a\0b"]
FILES = {
    "finished": ("best.json", "coarse.json", "experiment.json", "journal.jsonl", "front.csv", "evaluated.csv"),
    "chosen-alone": ("best.json", "finalists.csv", "front.csv", "experiment.json"),
    "many": ("experiment.json", "journal.jsonl", "universal.json", "edgetpu/best.json", "edgetpu/front.csv"),
    "killed-fine": ("experiment.json", "coarse.json", "journal.jsonl"),
    "trained": ("settings.json", "train.json"),
}
CASES = [(run, file) for run, files in FILES.items() for file in files]


def read_all(run: Path) -> Iterator[Callable[[], object]]:
    """Yield calls of everything that reads the folder of a run."""
    yield from (lambda: load_item(run), lambda: read_page(run), lambda: load_run(run), lambda: load_trained(run))
    yield lambda: SearchConfig.from_dict(joint_search.stored_run(run).get("settings"))
    yield lambda: joint_search.stored_run(run).get("data", {}).get("digest")
    yield lambda: MultiTargetConfig.from_dict(multi_target.stored_run(run).get("request"))
    yield lambda: multi_target.load_results(run, MultiTargetConfig.from_dict(multi_target.stored_run(run)["request"]))
    yield lambda: best_of_front(run, result_of_run(run), 3)
    yield lambda: images_of_run(run)
    if (run / "edgetpu").is_dir():
        yield from (lambda: load_run(run / "edgetpu"), lambda: read_page(run / "edgetpu"))


def assert_answered(run: Path) -> None:
    """Call every reader; each must succeed, or raise what the command line prints as one line."""
    listed = read_run(run)
    assert listed.state in ("finished", "interrupted", "broken") and "\n" not in listed.note
    for call in read_all(run):
        with suppress(InvalidInput, UnknownName):
            call()


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a JSON value with each of its keys or indices."""
    keys = value.items() if isinstance(value, dict) else list(enumerate(value))[:3] if isinstance(value, list) else ()
    for key, inner in keys:
        yield value, key
        yield from places(inner)


def damage_json(text: str, data: st.DataObject) -> str:
    value = json.loads(text)
    container, key = data.draw(st.sampled_from(list(places(value))))
    if data.draw(st.booleans()):
        container[key] = data.draw(st.sampled_from(WRONG))
    else:
        del container[key]
    return json.dumps(value)


def damage_csv(text: str, data: st.DataObject) -> str:
    lines = [line.split(",") for line in text.splitlines()]
    row = data.draw(st.integers(0, len(lines) - 1))
    cell = data.draw(st.integers(0, len(lines[row]) - 1))
    wrong = data.draw(st.sampled_from(["", "x", "-1", "inf", "nan", "1e999", "9" * 400, '"', "\ud7ff", None]))
    lines[row][cell : cell + 1] = [] if wrong is None else [wrong]
    return "\n".join(map(",".join, lines)) + "\n"


def damaged(path: Path, data: st.DataObject) -> str:
    """Return the content of a file with one value changed or left out."""
    text = path.read_text()
    if path.suffix == ".csv":
        return damage_csv(text, data)
    if path.suffix == ".json":
        return damage_json(text, data)
    lines = text.splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    return "\n".join([*lines[:number], damage_json(lines[number], data), *lines[number + 1 :]]) + "\n"


@pytest.mark.parametrize(("run", "file"), CASES)
@settings(
    deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_a_damaged_file_is_read_or_answered_in_one_line(
    run: str, file: str, data: st.DataObject, tmp_path: Path
) -> None:
    folder = tmp_path / run
    if not folder.exists():
        shutil.copytree(RUNS / run, folder, ignore=shutil.ignore_patterns("*.safetensors", "checkpoints*", "trials"))
    original = (RUNS / run / file).read_text()
    (folder / file).write_text(damaged(RUNS / run / file, data))
    assert_answered(folder)
    (folder / file).write_text(original)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("front.csv", "digest,spec,latency,latency_unit,top1,standard_error\nx\n", "row 1 has 1 cells"),
        ("front.csv", "digest,latency,latency_unit,top1,standard_error\nx,0.1,ms,0.5,0.1\n", "no column spec"),
        ("front.csv", "digest,spec,latency,latency_unit,top1,standard_error\nx,s,0,ms,0.5,0.1\n", "latency is '0'"),
        ("front.csv", "digest,spec,latency,latency_unit,top1,standard_error\nx,s,1,ms,7,0.1\n", "top1 is '7'"),
        (
            "evaluated.csv",
            "digest,spec,latency,latency_unit,top1,standard_error,on_front\nx,s,1,ms,1,0,2\n",
            "on_front",
        ),
        ("finalists.csv", "stage,digest,spec,epochs,top1,pictures,supernet_top1\na,d,s,x,1,1,\n", "epochs is 'x'"),
    ],
)
def test_a_damaged_table_says_where(name: str, text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match=reason):
        rows_of(tmp_path / name)


@pytest.mark.parametrize(
    ("field", "value"),
    [("latency", "x"), ("latency", 0), ("supernet_accuracy", []), ("macs", -1), ("genotype", ["x"]), ("converged", 1),
     ("other_latencies_ms", {"edgetpu": "x"}), ("notes", "x"), ("proxy_width", 0)],
)  # fmt: skip
def test_a_damaged_result_names_its_field(field: str, value: object, tmp_path: Path) -> None:
    stored = json.loads((RUNS / "finished" / "best.json").read_text())
    (tmp_path / "best.json").write_text(json.dumps(stored | {field: value}))
    with pytest.raises(InvalidInput, match=r"best.json") as caught:
        load_result(tmp_path / "best.json")
    assert field in str(caught.value) or field == "supernet_accuracy"


def test_a_broken_run_is_listed_as_broken_beside_the_others(tmp_path: Path) -> None:
    for name in ("sound", "text", "count", "best"):
        shutil.copytree(RUNS / "finished", tmp_path / name)
    (tmp_path / "text" / "journal.jsonl").write_text('{"stage": "coarse", "step": "x", "steps": 3}\n')
    (tmp_path / "count" / "journal.jsonl").write_text('{"stage": "coarse", "asked": 5, "accuracy": 7}\n')
    best = json.loads((tmp_path / "best" / "best.json").read_text())
    (tmp_path / "best" / "best.json").write_text(json.dumps(best | {"latency": "x"}))
    listed = {Path(run.path).name: run for run in runs_below(tmp_path)}
    assert {name: run.state for name, run in listed.items()} == {
        "sound": "finished", "text": "broken", "count": "broken", "best": "broken",
    }  # fmt: skip
    assert "step is 'x'" in listed["text"].note and "asked is 5" in listed["count"].note
