"""nas calibrate: a target from a table of measurements, proposals to measure, and bad tables in one line."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latency_models.calibration.peers import BOOSTED_TREES, RIDGE_REGRESSION
from latency_models.calibration.validation import FITTERS
from latency_models.roofline import Roofline
from latency_models.target import load_target
from nas.arch import save_arch
from nas.cli import main
from nas.registry import SPACES, load
from nas.space.cost_table import compile_table
from nas.zoo import ZOO, reference
from tests.support.made_up_device import APART, SEEN, TOGETHER


def write(folder: Path, rows: list[list[Any]], header: str = "arch,latency_ms") -> Path:
    path = folder / "measured.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with specs n0.json to n9.json."""
    monkeypatch.chdir(tmp_path)
    for number, arch in enumerate(SEEN[:10]):
        save_arch(arch, tmp_path / f"n{number}.json")
    return tmp_path


def rows_of(model: Roofline = APART) -> list[list[Any]]:
    return [[f"n{number}.json", model.predict_ms(arch)] for number, arch in enumerate(SEEN[:10])]


def test_a_target_from_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[*row, 4, "tflite", 3.0 * row[1]] for row in rows_of()]
    rows.append(["mobilenetv2", APART.predict_ms(reference("mobilenetv2")), 4, "tflite", ""])
    path = write(folder, rows, "arch,latency_ms,batch,runtime,energy_mj")
    assert main(["calibrate", str(path), "--name", "my-phone"]) == 0
    shown = capsys.readouterr().out
    for words in ("Spearman", "MACs only", "kernel count", "plain roofline", "90 % of new", "GMACs/s", "pJ per MAC"):
        assert words in shown
    target = load_target("my-phone")
    assert target.batch == 4 and target.calibration is not None and target.calibration.runtime == "tflite"
    assert target.energy_model().predict_mj(SEEN[0]) == pytest.approx(rows[0][-1], rel=0.1)
    assert main(["describe", "n0.json", "--target", "my-phone", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["latency_ms"] == pytest.approx(rows[0][1], rel=0.1)


def test_json_holds_everything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(write(folder, rows_of())), "-o", "sub.toml", "--like", "pixel6-cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["name"] == "sub" and set(found["scores"]) == {*FITTERS, *PEERS} and len(found["residuals"]) == 10
    assert found["calibration"]["networks"] == 10 and load_target("sub.toml").dtype == "int8"


PEERS = (RIDGE_REGRESSION, BOOSTED_TREES)
FEW = [["n0.json", 1.0], ["n1.json", 1.1], ["n2.json", 2.0], ["n3.json", 2.2]]


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (FEW, "arch,latency_ms", "needs at least 5 different networks, got 4"),
        ([*FEW, ["n0.json", 1.01]], "arch,latency_ms", "needs at least 5 different networks, got 4"),
        ([["absent.json", 1.0]], "arch,latency_ms", "line 2: there is no spec absent.json"),
        ([["mobilenetv5", 1.0]], "arch,latency_ms", "line 2: unknown network 'mobilenetv5'; did you mean"),
        ([["", 1.0]], "arch,latency_ms", "line 2: the cell of column arch is empty"),
        ([*FEW, ["n4.json", 0]], "arch,latency_ms", "line 6: latency_ms must be positive and finite, got '0'"),
        ([*FEW, ["n4.json", -1]], "arch,latency_ms", "latency_ms must be positive and finite, got '-1'"),
        ([*FEW, ["n4.json", "nan"]], "arch,latency_ms", "latency_ms must be positive and finite, got 'nan'"),
        ([*FEW, ["n4.json", "fast"]], "arch,latency_ms", "latency_ms must be positive and finite, got 'fast'"),
        ([*FEW, ["n4.json", ""]], "arch,latency_ms", "latency_ms must be positive and finite, got ''"),
        ([*FEW, ["n0.json", 1.3]], "arch,latency_ms", "n0.json is one network with latencies from 1 to 1.3 ms"),
        ([[f"n{i}.json", 2.5] for i in range(6)], "arch,latency_ms", "all 6 latencies are 2.5 ms"),
        (FEW, "arch,latency", "lacks the column 'latency_ms'"),
        (FEW, "network,latency_ms", "lacks the column 'arch'"),
        ([["n0.json"]], "arch,latency_ms", "line 2 has another number of cells"),
        ([["n0.json", 1.0, "x"]], "arch,latency_ms,batch", "batch must be a whole number of at least 1, got 'x'"),
        ([["n0.json", 1.0, -2]], "arch,latency_ms,energy_mj", "energy_mj must be positive and finite, got '-2'"),
        ([], "arch,latency_ms", "needs at least 5 different networks, got 0"),
    ],
)
def test_bad_measurements_are_one_line(
    rows: list[list[Any]], header: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(["calibrate", write(folder, rows, header).name, "--name", "mine"], message, capsys)
    assert not (folder / "mine.toml").exists()


def refused(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("nas: ") and captured.err.count("\n") == 1 and message in captured.err
    assert captured.out == ""


def test_bad_files_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty.csv").write_text("")
    refused(["calibrate", "empty.csv", "--name", "mine"], "empty.csv is empty", capsys)
    (folder / "binary.csv").write_bytes(b"\xff\xfe\x00")
    refused(["calibrate", "binary.csv", "--name", "mine"], "is no CSV file: it is not UTF-8 text", capsys)
    refused(["calibrate", "absent.csv", "--name", "mine"], "cannot read absent.csv", capsys)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "needs a name: --name my-phone"),
        (["--name", "edgetpu"], "the name 'edgetpu' is taken by the target pixel8-edgetpu"),
        (["--name", "a/b"], "--name must be letters, digits"),
        (["--name", "mine", "-o", "mine.json"], "so -o must end so, got mine.json"),
        (["--name", "rpi5", "-o", "mine.toml"], "the name 'rpi5' is taken by the target rpi5"),
        (["-o", "no/mine.toml"], "there is no folder no"),
        (["--name", "mine", "--like", "pixel6-cp"], "did you mean 'pixel6-cpu'"),
        (["--name", "mine", "--dtype", "int9"], "--dtype must be one of int8, fp16, fp32, got 'int9'"),
        (["--name", "mine", "--dtype", "int8", "--like", "rpi5"], "give --dtype or --like, not both"),
        (["--name", "mine", "--seed", "1"], "--seed belongs to --propose N"),
        (["--name", "there"], "there.toml exists; choose another --name or -o, or remove it"),
    ],
)
def test_bad_flags_are_one_line(
    flags: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "there.toml").write_text("mine")
    refused(["calibrate", write(folder, rows_of()).name, *flags], message, capsys)
    assert (folder / "there.toml").read_text() == "mine"


# --- what to measure -------------------------------------------------------------------------------------------------


def test_proposals_span_the_space_and_can_be_filled_in(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--propose", "8", "--space", "uib", "--out", "todo", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = [row["expected"] for row in found["specs"]]
    assert len(expected) == 8 and expected == sorted(expected)
    space = load("space", SPACES, "uib").with_input(224, 3, 1000)
    model = Roofline("plain", 1.0, 1 / 31.2)
    ends = [compile_table(space, model).minimum()[0], compile_table(space, model).maximum()[0]]
    assert [expected[0], expected[-1]] == pytest.approx(ends)
    ratios = np.diff(np.log(expected))
    assert ratios.max() < 0.5 * np.log(expected[-1] / expected[0])  # no gap of half the range
    with open("todo/specs.csv", newline="") as file:
        names = [row["arch"] for row in csv.DictReader(file)]
    assert len({(folder / "todo" / name).read_text() for name in names}) == 8
    refused(["calibrate", "todo/specs.csv", "--name", "mine"], "line 2: latency_ms must be positive", capsys)


def test_proposals_depend_on_the_seed_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main(["calibrate", "--propose", "6", "--space", "mbconv_imagenet", "--seed", seed, "--out", out]) == 0
    capsys.readouterr()
    texts = [[path.read_text() for path in sorted((folder / out).glob("*.json"))] for out in "abc"]
    assert texts[0] == texts[1] != texts[2]
    refused(["calibrate", "--propose", "6", "--out", "a"], "the folder a exists and is not empty", capsys)
    refused(["calibrate", "--propose", "6", "--name", "x"], "goes without a CSV file and without --name", capsys)


def test_the_zoo_alone_is_enough(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = list(ZOO)[:5]
    path = write(folder, [[name, TOGETHER.predict_ms(reference(name))] for name in names])
    assert main(["calibrate", str(path), "--name", "five"]) == 0
    assert "5 networks are few" in capsys.readouterr().out
