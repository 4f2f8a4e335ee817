"""Files: limits of what is parsed, links and pipes that are not followed, and names that no file can have."""

import fcntl
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_models.target import parse_target
from nas.errors import InvalidInput
from nas.export.folders import atomic_folder
from nas.files import (
    DEEPEST,
    FORMULA_STARTS,
    MOST_DIGITS,
    CannotWrite,
    as_cell,
    new_folder,
    of_cell,
    parse_json,
    read_bytes,
    read_json,
    remove_temporaries,
    subfolder,
    write_all,
    write_whole,
)
from nas.records.journal import Journal, read_journal
from nas.records.locks import holder, locked

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_json_writes_is_read(value: object) -> None:
    assert parse_json(json.dumps(value).encode(), "here") == value


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_one_line(data: bytes) -> None:
    with suppress(InvalidInput):
        parse_json(data, "here.json")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000 + "]" * 100_000, "inside one another"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "inside one another"),
        ('{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1), "inside one another"),
        ("1" * 5000, "5,000 digits"),
        ("-" + "1" * (MOST_DIGITS + 1), "digits"),
        ("[1e999]", "beyond every float"),
        ("[NaN]", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        (r'"\ud800"', "surrogates not allowed"),
        ("", "Expecting value"),
    ],
)
def test_json_beyond_the_limits_is_one_line(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=r"here.json is not valid JSON") as caught:
        parse_json(text.encode(), "here.json")
    assert reason in str(caught.value) and len(str(caught.value)) < 200


def test_values_at_the_limits_are_read() -> None:
    assert parse_json(b"[" * DEEPEST + b"]" * DEEPEST, "here")
    assert math.isfinite(float(parse_json(b"9" * MOST_DIGITS, "here")))


@pytest.mark.parametrize(
    "toml",
    [
        "a = " + "[" * 5000 + "]" * 5000,
        ".".join("a" * 1000) + " = 1",
        "batch = " + "1" * 5000,
        "batch = " + "1" * 400,
        "batch = 0x" + "f" * 400,
        "unit = [",
    ],
)
def test_toml_beyond_the_limits_is_one_line(toml: str) -> None:
    with pytest.raises(InvalidInput, match=r"^mine.toml is not valid TOML: ") as caught:
        parse_target("mine", toml, "mine.toml")
    assert len(str(caught.value)) < 200


def test_a_file_that_is_no_file_of_data_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", tmp_path, Path("/dev/zero")):
        with pytest.raises(InvalidInput, match=r"no file of data|Is a directory"):
            read_json(path)


def test_a_file_beyond_its_limit_is_refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "sparse.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InvalidInput, match="1,099,511,627,776 bytes"):
        read_json(tmp_path / "sparse.json")


@pytest.mark.parametrize("name", ["n" * 300, "a\0b", "\udcff"])
def test_a_name_that_no_file_has_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read"):
        read_bytes(tmp_path / name)


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "best.json"
    victim.write_text("mine")
    link.symlink_to(victim)
    write_whole(link, "new")
    assert victim.read_text() == "mine" and link.read_text() == "new" and not link.is_symlink()


def test_a_journal_and_a_lock_that_are_links_are_refused_and_their_ends_stay(tmp_path: Path) -> None:
    victim, run = tmp_path / "victim", tmp_path / "run"
    victim.write_text('{"stage": "done"}\n')
    run.mkdir()
    (run / ".lock").symlink_to(victim)
    (run / "journal.jsonl").symlink_to(victim)
    with pytest.raises(CannotWrite, match="symbolic link"), locked(run):
        pass
    with pytest.raises(CannotWrite, match="symbolic link"):
        Journal(run / "journal.jsonl").append({"stage": "x"})
    assert holder(run) is None
    assert victim.read_text() == '{"stage": "done"}\n'


def test_a_pipe_in_the_place_of_a_lock_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(CannotWrite, match="no file of data"), locked(tmp_path):
        pass
    assert holder(tmp_path) is None


@contextmanager
def locked_temporary(path: Path) -> Iterator[Path]:
    """A temporary file or folder that a process is at work in."""
    path.touch() if path.suffix == ".tmp" else path.mkdir()
    file = os.open(path, os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_EX)
    yield path
    os.close(file)


def test_only_temporaries_of_writers_are_removed_and_no_link_is_followed(tmp_path: Path) -> None:
    run, beside = tmp_path / "run", tmp_path / "beside"
    left = [run / ".0123456789abcdef.tmp", run / "in" / ".best.json.4711.tmp"]
    kept = [run / ".notes.tmp", beside / ".0123456789abcdef.tmp"]
    for path in (*left, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (run / "link").symlink_to(beside)
    with locked_temporary(run / ".fedcba9876543210.tmp") as at_work:
        remove_temporaries(run)
        assert at_work.exists()
    remove_temporaries(run)
    assert not at_work.exists() and not any(path.exists() for path in left) and all(path.exists() for path in kept)


@pytest.mark.parametrize(
    "record",
    [
        {"stage": "coarse", "step": "x", "steps": 3},
        {"stage": "coarse", "asked": 5, "accuracy": 7},
        {"stage": ["coarse"]},
        {"stage": "coarse", "asked": [[0, -1, 2]], "accuracy": [0.5]},
        {"stage": "coarse", "train_top1": 7.0},
        {"stage": "whole", "accuracy": ["x"]},
        [],
    ],
)
def test_a_record_of_other_kinds_is_refused_with_its_line(record: object, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(f'{{"stage": "supernet"}}\n{json.dumps(record)}\n{{"stage": "done"}}\n')
    with pytest.raises(InvalidInput, match=r"journal.jsonl, line 2,"):
        read_journal(path)


def test_a_refused_last_record_is_not_taken_for_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"stage": "supernet"}\n{"stage": 5}\n')
    with pytest.raises(InvalidInput, match=r"line 2, is no record"):
        read_journal(path)


@given(st.text())
def test_cells_are_no_formulas_and_are_read_back(text: str) -> None:
    cell = as_cell(text)
    assert not cell.startswith(FORMULA_STARTS)
    assert of_cell(cell) == text or text.startswith("'")  # who writes apostrophes means them as a spreadsheet does
    assert as_cell(-1.5) == -1.5


def test_files_that_are_written_together_appear_together_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="nowhere"):
        write_all({tmp_path / "a": "1", tmp_path / "nowhere" / "b": "2"})
    assert not list(tmp_path.iterdir())
    write_all({tmp_path / "a": "1", tmp_path / "b": b"2"})
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["1", "2"]


def test_a_folder_in_a_run_that_is_a_link_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "specs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotWrite, match="specs: it is a symbolic link"):
        subfolder(tmp_path, "specs")
    assert subfolder(subfolder(tmp_path, "new"), "inner").is_dir()


def test_a_folder_that_a_killed_process_began_is_removed_by_the_next_and_one_at_work_stays(tmp_path: Path) -> None:
    abandoned, other = tmp_path / ".out.abcdefgh", tmp_path / ".other.abcdefgh"
    for path in (abandoned, other):
        path.mkdir()
        (path / "half").touch()
    with locked_temporary(tmp_path / ".out.12345678") as at_work, atomic_folder(tmp_path / "out") as folder:
        (folder / "whole").touch()
        assert at_work.is_dir() and other.is_dir() and not abandoned.exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


def test_what_a_killed_command_left_in_a_new_folder_does_not_stop_the_next(tmp_path: Path) -> None:
    for name in (".lock", ".progress.tmp", ".0123456789abcdef.tmp"):
        (tmp_path / name).touch()
    assert new_folder(tmp_path) == tmp_path
    (tmp_path / "settings.json").touch()
    with pytest.raises(InvalidInput, match="is not empty"):
        new_folder(tmp_path)
