"""The command line on bad input: one line that names what came and the remedy, status 2, and nothing is lost."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.cli.flag_rules import RULES, Rule
from nas.zoo import reference
from tests.support.run_folder import make_run

Run = Callable[..., str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic finished run."""
    return make_run(tmp_path_factory.mktemp("runs") / "finished", count=6)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("serch", "unknown command 'serch'; did you mean 'search'? See nas --help"),
        ("--verison", "unknown flag --verison; did you mean --version? See nas --help"),
        ("zzz", "unknown command 'zzz'; known: "),
        ("search --latncy-ms 3", "did you mean --latency-ms? See nas search --help"),
        ("describe --targt=rpi5", "unknown flag --targt; did you mean --target?"),
        ("describe mobilenetv1 -target rpi5", "unknown flag -target; did you mean --target?"),
        ("describe mobilenetv1 --qqqqq", "unknown flag --qqqqq; see nas describe --help"),
        ("calibrate m.csv --model forrest", "unknown --model 'forrest'; did you mean 'forest'?"),
        ("describe", "required"),
        ("describe mobilenetv4-conv-z", "did you mean 'mobilenetv4-conv-"),
        ("describe no/such/file.json", "there is no run folder and no spec file no/such/file.json"),
        ("describe mobilenetv1 --target edge-tpu", "unknown target 'edge-tpu'; did you mean 'edgetpu'?"),
        ("describe mobilenetv1 --targ edgetpu", "unknown flag --targ; did you mean --target?"),
        ("describe mobilenetv1 --ridge-point -1", "0 or more and finite, got '-1'"),
        ("describe mobilenetv1 --ridge-point nan", "0 or more and finite, got 'nan'"),
        ("describe mobilenetv1 --peak-gmacs-per-s 3", "belongs to --ridge-point"),
        ("describe mobilenetv1 --target rpi5 --ridge-point 3", "exclude each other"),
        ("describe mobilenetv1 --resolution 0", "whole number of at least 1, got '0'"),
        ("describe mobilenetv1 --resolution 2", "resolution must be at least"),
        ("describe mobilenetv1 --target rpi5 --latency-model plane-roofline", "did you mean 'plain-roofline'?"),
        ("compare mobilenetv1 --targets edgetpu,,rpi5", "different names"),
        ("compare mobilenetv1 --targets edgetpu,rpi", "unknown target 'rpi'"),
        ("resume no/such/run", "no run folder no/such/run"),
        ("search --space uid", "unknown space 'uid'; did you mean 'uib'?"),
        ("search --space no.such:THING", "cannot be imported"),
        ("search --target edgtpu", "did you mean 'edgetpu'?"),
        ("search --data fashion-mnits", "did you mean 'fashion-mnist'?"),
        ("search --preset quik", "did you mean 'quick'?"),
        *((f"search --latency-ms {x}", f"positive and finite, got '{x}'") for x in ("0", "-1", "nan", "inf", "fast")),
        ("search --latency-ms 0.2", "must lie between"),
        ("search --latency-ms 900", "must lie between"),
        ("search --latency-ratio 2", "--latency-ms instead of --latency-ratio"),
        ("search --latency-ms 1 --latency-ratio 2", "not allowed with"),
        ("search --ridge-point 5 --latency-ms 2", "--latency-ratio instead of --latency-ms"),
        ("search --max-params 0", "whole number of at least 1"),
        ("search --max-params 1000", "max_params must be at least"),
        ("search --max-memory-kb 0", "positive and finite, got '0'"),
        ("search --max-memory-kb 8", "max_memory_kb must be at least"),
        ("search --max-flash-kb 8", "KiB of weights"),
        ("search --max-energy-mj 8 --target rpi5", "target 'rpi5' has no energy coefficients"),
        ("search --ridge-point 5 --max-energy-mj 8", "--max-energy-mj needs a --target"),
        ("search --max-macs 1.5", "whole number of at least 1"),
        ("search --seed -1", "whole number, 0 to"),
        ("search --seed 1.5", "whole number, 0 to"),
        (f"search --seed {'9' * 400}", "whole number, 0 to"),
        (f"describe mobilenetv1 --resolution {'9' * 5000}", "whole number of at least 1"),
        ("search --proxy-width 1.5", "above 0 and at most 1"),
        ("train mobilenetv1 --from-supernet", "needs --proxy"),
        ("train mobilenetv1 --proxy-width 0.5", "go with --proxy"),
        ("train mobilenetv1 --epochs 0", "whole number of at least 1"),
        ("train mobilenetv1 --learning-rate 0", "positive and finite"),
        ("train mobilenetv1 --data no-such-data", "unknown data set"),
        ("search --algorithm random --workers 2000", "workers must lie between 1 and"),
        ("search --algorithm random --ray-address 127.0.0.1:1", "no Ray cluster at 127.0.0.1:1: nothing answers"),
        ("export mobilenetv1 --format tflight -o x", "unknown format"),
    ],
)  # fmt: skip
def test_bad_flags(command: str, words: str, refusal: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in refusal(*command.split())
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def altered(change: Callable[[dict[str, Any]], Any]) -> Callable[[str], str]:
    """Return the text of a JSON file with `change` made to its value."""

    def alter(text: str) -> str:
        data = json.loads(text)
        change(data)
        return json.dumps(data)

    return alter


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (lambda text: text[: len(text) // 2], "not valid JSON"),
        (lambda _: "", "empty"),
        (lambda _: "[1, 2]", "not the result of a search"),
        (altered(lambda data: data.update(schema="other")), "not the result of a search"),
        (altered(lambda data: data.update(version=99)), "version 99"),
        (altered(lambda data: data.pop("accuracy")), "'accuracy'"),
        (altered(lambda data: data.update(digest="0" * 64)), "altered"),
        (altered(lambda data: data["arch"].update(num_classes=11)), "altered"),
        (altered(lambda data: data.update(macs=5)), "macs is 5, that of its architecture "),
        (altered(lambda data: data["arch"]["stages"][0][0].update(op="convv")), "did you mean 'conv'?"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["describe", "compare", "train", "resume"])
def test_corrupt_or_foreign_best_json(
    command: str, alter: Callable[[str], str], words: str, refusal: Run, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    experiment = {"schema": "nas.experiment", "version": 1, "settings": {}}
    (run / "experiment.json").write_text(json.dumps(experiment))
    (run / "best.json").write_text(alter((finished / "best.json").read_text()))
    said = refusal(command, run)
    assert words in said
    assert "best.json" in said


def test_specs_that_do_not_fit(refusal: Run, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    spec = reference("mobilenetv4-conv-s").to_dict()
    spec["stages"][1][0] = {
        "op": "uib", "out_channels": 64, "expanded_channels": 64, "start_dw": 3, "middle_dw": 0, "stride": 1,
        "act": "relu", "residual": True, "layer_scale": False,
    }  # fmt: skip
    path.write_text(json.dumps(spec))
    assert "op 1.0" in refusal("describe", path)
    path.write_text(json.dumps({"schema": "something else"}))
    assert "not an architecture spec" in refusal("describe", path)


X, Y = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 4


@pytest.mark.parametrize("command", ["search", "train mobilenetv1"])
@pytest.mark.parametrize(
    "arrays",
    [
        {"x_train": np.full((40, 8, 8), np.nan), "y_train": Y, "x_test": X, "y_test": Y},
        {"x_train": X, "y_train": Y * 0, "x_test": X, "y_test": Y * 0},
        {"x_train": X[:0], "y_train": Y[:0], "x_test": X, "y_test": Y},
        {"x_train": X[0], "y_train": Y, "x_test": X, "y_test": Y},
        {"x_train": X, "y_train": Y[:-1], "x_test": X, "y_test": Y},
        {"pictures": X},
    ],
    ids=["nan", "one class", "empty", "wrong shape", "too few labels", "other names"],
)  # fmt: skip
def test_data_files_that_cannot_be_used(command: str, arrays: dict[str, Any], refusal: Run, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    assert "data.npz" in refusal(*command.split(), "--data", path, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["search", "train mobilenetv1", "compare mobilenetv1", "export mobilenetv1"])
def test_output_that_cannot_be_written(command: str, refusal: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert "file" in refusal(*command.split(), "--out", tmp_path / "file" / "under")


@pytest.mark.parametrize("command", ["search", "train mobilenetv1", "compare mobilenetv1"])
def test_an_occupied_output_folder_is_left_alone(command: str, refusal: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert "not empty" in refusal(*command.split(), "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.example)
def test_flags_that_contradict_each_other_are_refused_before_any_work(
    rule: Rule, refusal: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in rule.commands:
        subject = {"spaces": "", "targets": "", "search": "", "calibrate": "", "rank": "uib"}.get(
            command, "mobilenetv1"
        )
        said = refusal(command, *subject.split(), *rule.example.split())
        assert max(re.split(r"{\w+}", rule.words), key=len) in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "value"), [("ridge_point", []), ("target", 3), ("latency_model", None)])
def test_a_device_in_a_damaged_run_is_one_line(
    name: str, value: object, finished: Path, tmp_path: Path, refusal: Run
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    stored = json.loads((run / "experiment.json").read_text())
    stored["settings"] |= {name: value}
    (run / "experiment.json").write_text(json.dumps(stored))
    assert "experiment.json does not hold settings of a search" in refusal("describe", run)
