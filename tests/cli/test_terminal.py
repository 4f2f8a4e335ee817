"""What reaches the terminal: no control characters or markup from outside, whatever the stream and its encoding."""

import io
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.arch import save_arch
from nas.cli.console import console
from nas.cli.printable import HIDDEN, in_one_line, printable, show_warnings_in_one_line
from nas.report.terminal_table import Column, FittedTable
from nas.zoo import reference


@given(st.text())
def test_printable_text_has_nothing_that_a_terminal_acts_on(text: str) -> None:
    shown = printable(text)
    assert not HIDDEN.search(shown)
    assert shown == text or HIDDEN.search(text)


@given(st.text(max_size=5000))
def test_a_message_is_one_short_line(text: str) -> None:
    line = in_one_line(text)
    assert len(line) <= 1000 and line.splitlines() in ([], [line])


def test_both_ends_of_a_long_value_are_shown() -> None:
    assert in_one_line(f"no file {'a' * 300}.csv here") == f"no file {'a' * 80}...{'a' * 36}.csv here"


@given(st.text(st.characters(max_codepoint=0x9F) | st.sampled_from("[]/bold"), max_size=30))
def test_tables_and_lines_show_text_as_text(text: str) -> None:
    file = io.StringIO()
    table = FittedTable("", [Column("name", fold=True)])
    table.add_row(text)
    console(file).print(text, table)
    assert not HIDDEN.search(file.getvalue())
    if text.strip() == "[bold]":
        assert "[bold]" in file.getvalue()


def test_names_in_files_are_shown_as_they_are(out: Callable[..., str], tmp_path: Path) -> None:
    from dataclasses import replace

    save_arch(replace(reference("mobilenetv1"), name="[/] \x1b[31mred"), tmp_path / "spec.json")
    shown = out("describe", tmp_path / "spec.json")
    assert "[/]" in shown and "[31mred" in shown and "\x1b" not in shown


@pytest.mark.parametrize(
    ("redirect", "words"),
    [("> /dev/full", "cannot write to standard output: No space left on device"), (">&-", "standard output is closed")],
)
def test_an_output_that_takes_nothing_is_one_line(redirect: str, words: str, root: Path) -> None:
    ended = _shell(f"zoo --json {redirect}", root)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert words in ended.stderr


def test_an_encoding_without_the_signs_and_a_closed_standard_error_change_no_status(root: Path) -> None:
    ended = _shell("describe mobilenetv1 2>&-", root, PYTHONIOENCODING="ascii")
    assert ended.returncode == 0 and "mobilenetv1" in ended.stdout and ended.stdout.isascii()
    assert _shell("describe nothing 2>&-", root).returncode == 2


def _shell(words: str, root: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `nas` with words for a shell."""
    command = f"{sys.executable} -m nas {words}"
    known: dict[str, Any] = {"capture_output": True, "text": True, "cwd": root, "check": False}
    return subprocess.run(["sh", "-c", command], env={**os.environ, **environment}, **known)


def test_a_warning_of_a_library_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    show_warnings_in_one_line()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        show_warnings_in_one_line()
        warnings.warn("first\nsecond \x1b[31m", stacklevel=1)
    assert capsys.readouterr().err == "warning: first second \\x1b[31m\n"
