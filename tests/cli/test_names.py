"""Names and paths on the command line that no file can have: one line, exit status 2, and nothing is written."""

import os
from pathlib import Path

import pytest

from nas.cli import main
from nas.cli.parser import command_parsers
from nas.errors import InvalidInput
from nas.files import usable_path

UNUSABLE = {
    "n" * 300: "has a name of 300 bytes",
    f"./{'n' * 300}/x": "has a name of 300 bytes",
    "loop": "a symbolic link that leads to itself",
    "\udcff": "is no UTF-8 text",
    "a\0b": "has a zero byte",
    "~nobody-of-this-name/x": "a user that does not exist",
    "/".join(["n" * 200] * 30): "File name too long",
}
FLAGS_OF_TEXT = [
    (word, action.option_strings[-1])
    for word, parser in command_parsers().items()
    for action in parser._actions
    if action.option_strings and action.nargs is None and action.choices is None and action.type is None
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, empty but for a symbolic link to itself."""
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Return the line with which a command refuses; nothing is written."""
    before = sorted(os.listdir())
    assert main(argv) == 2
    output = capsys.readouterr()
    assert output.err.count("\n") == 1 and output.out == "" and sorted(os.listdir()) == before
    return output.err


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_name_that_no_file_has_is_refused_wherever_it_stands(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["runs", name], ["compare", name], ["search", "--preset", "smoke", "--out", name], ["train", name]):
        assert UNUSABLE[name] in refused(capsys, *argv)
    with pytest.raises(InvalidInput, match=UNUSABLE[name]):
        usable_path(name)


@pytest.mark.parametrize(("command", "flag"), FLAGS_OF_TEXT)
def test_every_flag_that_takes_a_text_refuses_such_names_and_a_value_of_two_dashes(
    command: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "leads to itself" in refused(capsys, command, f"{flag}=loop")
    assert "must have a value, got '--'" in refused(capsys, command, f"{flag}=--")


@pytest.mark.parametrize("out", [".", "..", "/", "./"])
def test_an_output_that_is_no_new_name_is_refused(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["export", "mobilenetv2", "-o"], ["describe", "mobilenetv2", "--out"], ["measure", "x", "-o"]):
        assert "must end in the name of a new file or folder" in refused(capsys, *argv, out)


def test_a_name_in_a_table_of_measurements_is_held_to_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    Path("long.csv").write_text(f"arch,latency_ms\n{'9' * 300},1\n")
    assert "long.csv, line 2: " in refused(capsys, "calibrate", "long.csv", "--name", "z")


def test_a_home_is_expanded_and_other_texts_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert usable_path("~/x") == f"{folder}/x"
    for text in ("", "uib", "a,b", "module:attribute", "new/folder", "ä" * 120, ".".join("n" * 120 for _ in range(2))):
        assert usable_path(text) == text
