"""Every table fits a terminal of 80 and of 120 columns; only commands and paths to copy may be longer."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from nas.report.terminal_table import Column, FittedTable, short_number, unit_text

Run = Callable[..., str]
RUNS = Path("tests/data/runs")
WHOLE = ("next: ", "wrote ")  # beginnings of lines that are not wrapped
COMMANDS = [
    "targets", "zoo", "recipes", "spaces --target rpi5", "spaces", f"runs {RUNS}",
    f"show {RUNS}/finished", f"show {RUNS}/many",
    f"show {RUNS}/chosen-alone-finalists", f"show {RUNS}/trained", "describe mobilenetv4-hybrid-m --target nvidia-a100",
    "describe mobilenetv4-conv-s --kernels --target nvidia-a100", f"describe {RUNS}/many/edgetpu --ridge-point 5",
    f"compare {RUNS}/many mobilenetv1 --targets edgetpu,nvidia-a100,pixel6-cpu,cortex-m7,coral-edgetpu",
    f"compare zoo {RUNS}/finished --targets rpi5",
]  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_is_longer_than_the_terminal(
    command: str, width: int, out: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", str(width))
    shown = out(*command.split())
    assert [line for line in shown.splitlines() if cell_len(line) > width and not line.startswith(WHOLE)] == []
    assert "…" not in shown


def test_a_next_line_is_whole_however_narrow(out: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "40")
    narrow = [line for line in out("show", RUNS / "many").splitlines() if line.startswith("next: ")]
    monkeypatch.setenv("COLUMNS", "200")
    assert narrow == [line for line in out("show", RUNS / "many").splitlines() if line.startswith("next: ")] != []


def test_latencies_of_a_batch_say_so(out: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert "ms per batch of 128" in out("describe", "mobilenetv2", "--target", "nvidia-a100")
    assert "ms per batch of 128" in out("describe", "mobilenetv2", "--target", "nvidia-a100", "--kernels")
    assert "nvidia-a100, batch of 128" in out("compare", "mobilenetv2", "--targets", "nvidia-a100,rpi5")
    row = next(line for line in out("targets").splitlines() if "nvidia-a100" in line)
    assert "128 images" in row
    assert "batch" not in out("describe", "mobilenetv2", "--target", "rpi5")


cells = st.text(st.characters(categories=("L", "N", "P")), min_size=0, max_size=30)
kinds = st.builds(Column, st.text("abc ", min_size=1, max_size=20), st.booleans(), st.booleans(), st.integers(0, 3))


@given(st.lists(kinds, min_size=1, max_size=8), st.data(), st.integers(60, 140))
def test_a_table_fits(columns: list[Column], data: st.DataObject, width: int) -> None:
    table = FittedTable("title", columns)
    rows = data.draw(st.lists(st.lists(cells, min_size=len(columns), max_size=len(columns)), max_size=4))
    for row in rows:
        table.add_row(*row)
    kept, widths = table.fit(width)
    assert sum(widths) + 3 * len(kept) + 1 <= max(width, 7 * len(columns) + 1)
    assert all(number in kept for number, column in enumerate(columns) if column.drop == 0)
    left_out = [columns[number].drop for number in range(len(columns)) if number not in kept]
    assert min(left_out, default=9) >= max((columns[number].drop for number in kept), default=0) or not left_out


def test_what_is_left_out_is_named_and_markup_is_text() -> None:
    table = FittedTable("a [bold]title", [Column("name"), Column("long one", drop=1), Column("other", drop=2)])
    table.add_row("[red]x", "y" * 30, Text("z" * 30))
    console = Console(width=50, record=True, file=StringIO())
    console.print(table)
    shown = console.export_text()
    assert "[red]x" in shown and "a [bold]title" in shown
    assert "no room for: other" in shown


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (185_942_144, "186 M"), (3_774_024, "3.77 M"), (55_496_640, "55.5 M"), (988_311, "988 k"), (999, "999"),
        (0, "0"), (2_548_300_800, "2.55 G"), (999_600, "1.00 M"), (9_996, "10.0 k"), (31_200_000_000_000, "31200 G"),
    ],
)  # fmt: skip
def test_short_numbers(number: int, text: str) -> None:
    assert short_number(number) == text


@given(st.integers(0, 10**12))
def test_a_short_number_is_within_half_a_percent(number: int) -> None:
    value, _, letter = short_number(number).partition(" ")
    size = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[letter]
    assert float(value.replace(",", "")) * size == pytest.approx(number, rel=0.0051)


def test_units_of_a_batch() -> None:
    assert (unit_text("ms", 1), unit_text("ms", 128)) == ("ms", "ms per batch of 128")


def test_columns_that_are_no_number_are_ignored(out: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "wide", "0"):
        monkeypatch.setenv("COLUMNS", value)
        assert "confidence" in out("targets")
