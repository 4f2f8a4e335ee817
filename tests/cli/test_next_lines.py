"""Every `next:` line that a command prints is a command that its parser takes, and the cheap ones are run."""

import csv
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.cli.deployed_dtype import dtype_notes, int8_flags
from nas.cli.parser import build_parser
from nas.cli.tables.search_result import next_commands
from nas.ops import Conv, Head, Shape
from nas.records.results import result_of_run
from tests.support.run_folder import make_run

Run = Callable[..., str]
OLD = Path(__file__).parents[1] / "data" / "runs"
TINY = ArchSpec(Shape(8, 8, 1), ((Conv(16, 3, 2),),), Head(), 10, name="tiny")
CHEAP = ("compare", "show", "describe", "calibrate", "runs", "scale")  # commands that a test can run to their end
REFERENCES = (
    "mobilenetv1",
    "mobilenetv2",
    "mobilenetv3-small",
    "mobilenetv3-large",
    "mobilenetv4-conv-s",
    "mnasnet-a1",
)
LATENCIES = (7.9, 5.1, 1.6, 4.2, 2.9, 5.6)
PRINTERS = {  # what prints the lines -> the commands that it must lead to; the folder is the working one
    "show 'a run'": ("deploy", "compare", "train"),
    "show many": ("deploy", "compare"),
    "show many/edgetpu": ("deploy", "compare", "train"),
    "show trained": ("deploy", "compare"),
    "watch 'a run' --once": ("show",),
    "calibrate table.csv --name phone --force": ("search",),
    "calibrate --propose 5": ("calibrate", "measure"),
    "scale tiny.json --phi 1.5 --depth 1.3": ("scale",),
    "scale 'a run' --phi=-1 --out bigger.json": ("describe", "train", "export"),
    "train tiny.json --epochs 1 --out t": ("deploy", "compare"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run whose name has a blank, older runs, a training, a spec, and a table of measurements."""
    folder = tmp_path_factory.mktemp("next")
    make_run(folder / "a run", count=6)
    shutil.copytree(OLD / "many", folder / "many")
    shutil.copytree(OLD / "trained", folder / "trained")
    save_arch(TINY, folder / "tiny.json")
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("arch", "latency_ms"), *zip(REFERENCES, LATENCIES, strict=True)])
    return folder


def next_lines(shown: str) -> Iterator[list[str]]:
    """Yield the words behind `next:` and `go on with:`, without the program's own."""
    for line in re.findall(r"(?:^next|go on with): (.*)$", shown, re.MULTILINE):
        program, *words = shlex.split(line)
        assert program == "nas", line
        yield words


@pytest.mark.parametrize("printer", PRINTERS)
def test_next_lines_parse_and_the_cheap_ones_work(
    printer: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(shlex.split(printer)) == 0, capsys.readouterr().err
    lines = list(next_lines(capsys.readouterr().out))
    assert tuple(dict.fromkeys(words[0] for words in lines)) == PRINTERS[printer]
    for words in lines:
        args = build_parser(words).parse_args(words)
        args.check(args)
        if words[0] in CHEAP and "to-measure/specs.csv" not in words:  # a table that is to be filled in first
            assert main(words) == 0, (words, capsys.readouterr().err)


def test_what_is_not_finished_says_how_to_go_on(refusal: Run, out: Run) -> None:
    for said in (refusal("show", OLD / "killed-coarse"), out("watch", OLD / "killed-fine", "--once")):
        (words,) = next_lines(said)
        assert build_parser(words).parse_args(words).command == "resume"


@pytest.mark.parametrize(
    ("shown", "deployed"),
    [
        ("many", [f"many/{name} --quantize int8" for name in ("edgetpu", "pixel6-cpu", "universal")]),
        ("finished", ["finished --quantize int8"]),
    ],
)  # fmt: skip
def test_what_was_searched_in_int8_is_deployed_in_int8(
    shown: str, deployed: list[str], out: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(OLD)
    found = [" ".join(words[1:]) for words in next_lines(out("show", shown)) if words[0] == "deploy"]
    assert found == deployed
    for line in found:
        assert dtype_notes(line.split()[0], "int8" if "int8" in line else None) == []


def test_a_network_without_an_int8_form_is_deployed_in_floats() -> None:
    arch = result_of_run(OLD / "finished").arch
    assert int8_flags(arch, str(OLD / "finished")) == ("--quantize", "int8")
    assert int8_flags(replace(arch, stages=((Conv(16, 3, act="gelu"),),)), str(OLD / "finished")) == ()
    assert int8_flags(arch, "mobilenetv2") == () and int8_flags(arch, "mobilenetv2", ["edgetpu", "rpi5"]) == ()


@pytest.mark.parametrize("command", ["describe", "compare", "measure", "export", "deploy", "show"])
def test_a_training_that_has_not_finished_is_called_that(command: str, refusal: Run, tmp_path: Path) -> None:
    shutil.copytree(OLD / "trained-killed", tmp_path / "stopped")
    assert f"the training in {tmp_path}/stopped has not finished; the command that began it goes on" in refusal(
        command, tmp_path / "stopped"
    )


def test_a_run_without_inherited_weights_is_not_trained_from_them(tmp_path: Path) -> None:
    assert not any("--from-supernet" in line for line in next_commands(tmp_path, TINY))
    (tmp_path / "inherited.safetensors").write_bytes(b"")
    assert any("--from-supernet" in line for line in next_commands(tmp_path, TINY))


# ------------------------------------------------------------------------------------------- the device of the run


@pytest.mark.parametrize(
    ("command", "device"),
    [
        ("describe chosen-alone", "pixel6-cpu"), ("describe finished", "pixel8-edgetpu"),
        ("describe killed-report", "ridge-point-7"), ("describe many/pixel6-cpu", "pixel6-cpu"),
        ("describe chosen-alone --target rpi5", "rpi5"), ("describe chosen-alone --ridge-point 9", "ridge-point-9"),
        ("describe mobilenetv1", "pixel6-cpu"),
    ],
)  # fmt: skip
def test_describe_takes_the_device_of_the_run(
    command: str, device: str, out: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(OLD)
    assert f" on {device}, " in out(*command.split()).splitlines()[0]


@pytest.mark.parametrize(
    ("items", "targets"),
    [
        ("many", {"edgetpu", "pixel6-cpu"}), ("chosen-alone", {"pixel6-cpu"}),
        ("finished chosen-alone", {"edgetpu", "pixel6-cpu"}), ("mobilenetv1", {"pixel6-cpu"}),
        ("chosen-alone --targets rpi5", {"rpi5"}),
    ],
)  # fmt: skip
def test_compare_takes_the_devices_of_the_runs(
    items: str, targets: set[str], out: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(OLD)
    shown = out("compare", *items.split())
    heading = shown.partition("┡")[0]
    assert {name for name in ("edgetpu", "pixel6-cpu", "rpi5") if name in heading} == targets


def test_the_training_of_a_run_is_compared_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.cli.found import show_training
    from nas.cli.models import targets_of
    from nas.records.networks import load_trained

    monkeypatch.chdir(OLD)
    args = build_parser(["show"]).parse_args(["show", "trained"])
    with redirect_stdout(StringIO()) as shown:
        show_training(args, load_trained(Path("trained"))[1], Path("trained"), targets_of(["chosen-alone"]))
        show_training(args, load_trained(Path("trained"))[1], Path("trained"), ("edgetpu", "rpi5"))
    assert "next: nas compare trained --targets pixel6-cpu\n" in shown.getvalue()
    assert "next: nas deploy trained\n" in shown.getvalue()
    assert "next: nas deploy trained --quantize int8\n" in shown.getvalue()  # pixel6-cpu alone computes in int8
