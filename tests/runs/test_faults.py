"""What survives: a lock that ends with its process, torn journals, damaged checkpoints, a full disk."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import files
from nas.errors import InvalidInput
from nas.files import LOCK, CannotWrite, new_folder, write_whole
from nas.ops import Size
from nas.records.journal import Journal, read_journal
from nas.records.locks import holder, locked
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.search.constraints.repair import repair
from nas.training.checkpoints import KEPT, Checkpoints

HOLD = """
import sys, time
from pathlib import Path
from nas.records.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock on the folder `tmp_path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


# ------------------------------------------------------------------------------------------------------------ locks


def test_a_second_process_is_refused_by_name_until_the_first_is_killed(
    other: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    host = os.uname().nodename
    with (
        pytest.raises(InvalidInput, match=f"process {other.pid} on {host} is working on {tmp_path}; wait"),
        locked(tmp_path),
    ):
        pass
    assert holder(tmp_path) == f"process {other.pid} on {host}"
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / LOCK).exists() and holder(tmp_path) is None
    with locked(tmp_path):
        assert holder(tmp_path) == f"process {os.getpid()} on {host}"
    assert not any(tmp_path.iterdir()) and holder(tmp_path) is None


def test_a_lock_of_nobody_makes_no_folder_occupied_and_temporary_files_go(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("")
    (tmp_path / ".best.json.1.tmp").write_text("half")
    new_folder(tmp_path)
    with locked(tmp_path):
        new_folder(tmp_path)
        assert not (tmp_path / ".best.json.1.tmp").exists()
    assert holder(tmp_path / "nowhere") is None
    with pytest.raises(CannotWrite), locked(tmp_path / "nowhere"):
        pass


def test_a_search_and_a_training_do_not_touch_a_folder_at_work(other: "subprocess.Popen[str]", tmp_path: Path) -> None:
    from nas.cli import main

    (tmp_path / "experiment.json").write_text('{"schema": "nas.experiment", "version": 1, "settings": {}}')
    (tmp_path / "settings.json").write_text("{}")
    for command in (["resume", str(tmp_path)], ["train", "mobilenetv1", "--out", str(tmp_path), "--epochs", "1"]):
        assert main(command) == 2
    assert (tmp_path / "settings.json").read_text() == "{}"


# --------------------------------------------------------------------------------------------------------- journals


@given(st.lists(st.dictionaries(st.text(max_size=3), st.integers(), max_size=3), max_size=6), st.data())
def test_a_journal_cut_anywhere_keeps_its_whole_lines(records: list[dict[str, int]], data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        journal = Journal(path, ())
        for record in records:
            journal.append(record)
        raw = path.read_bytes()
        cut = data.draw(st.integers(0, len(raw)))
        path.write_bytes(raw[:cut])
        whole = raw[:cut].count(b"\n")
        assert read_journal(path, ()) == (records[:whole], raw[:cut].endswith(b"\n") or cut == 0)
        again = Journal(path, ())
        for record in records[whole:]:
            again.append(record)
        assert path.read_bytes() == raw and read_journal(path, ())[0] == records


def test_a_journal_on_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal.jsonl", ())
    journal.append({"step": 1})
    real = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) < 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data[:5])  # a short write, as before the disk is full

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(CannotWrite, match=r"journal.jsonl: No space left on device; make space there"):
        journal.append({"step": 2})
    monkeypatch.undo()
    assert journal.records == [{"step": 1}] and (tmp_path / "journal.jsonl").read_bytes() == b'{"step": 1}\n'
    journal.append({"step": 2})
    assert [record["step"] for record in Journal(journal.path, ()).records] == [1, 2]


def test_a_file_on_a_full_disk_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "best.json", "old")

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(CannotWrite, match="nothing is lost"):
        write_whole(tmp_path / "best.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["best.json"]
    assert (tmp_path / "best.json").read_text() == "old"


# ------------------------------------------------------------------------------------------------------ checkpoints

LIKE = {"a": np.zeros(1000, np.float32), "b": (np.zeros((), np.int32),)}


def state(step: int) -> dict[str, object]:
    """The state of `step`: numbers that no compression makes small."""
    return {"a": np.random.default_rng(step).random(1000, np.float32), "b": (np.asarray(step, np.int32),)}


def saved(folder: Path, *steps: int) -> Path:
    """A folder of checkpoints."""
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(step, state(step))
    checkpoints.close()
    return folder


def found(folder: Path) -> int | None:
    """Return the step of the newest intact checkpoint, whose state is checked."""
    checkpoints = Checkpoints(folder)
    newest = checkpoints.latest(LIKE)
    checkpoints.close()
    if newest is None:
        return None
    step, value = newest
    assert int(value["b"][0]) == step and np.array_equal(value["a"], state(step)["a"])  # type: ignore[arg-type]
    return step


def test_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    folder = saved(tmp_path / "c", *range(1, 6))
    assert KEPT == 3 and sorted(path.name for path in folder.iterdir()) == ["3", "4", "5"]
    assert found(folder) == 5


@pytest.mark.parametrize("seed", range(8))
def test_damage_of_any_file_is_seen_and_the_work_goes_on_from_the_one_before(seed: int, tmp_path: Path) -> None:
    folder, rng = saved(tmp_path / "c", 1, 2, 3), np.random.default_rng(seed)
    paths = sorted(path for path in (folder / "3").rglob("*") if path.is_file() and path.stat().st_size)
    for path in rng.permutation(np.array(paths, object))[: rng.integers(1, len(paths) + 1)]:
        raw = path.read_bytes()
        how = rng.integers(3)
        if how == 0:
            path.write_bytes(raw[: rng.integers(len(raw))])
        elif how == 1:
            path.unlink()
        else:
            flipped = bytearray(raw)
            flipped[rng.integers(len(raw))] ^= 1 << rng.integers(8)
            path.write_bytes(bytes(flipped))
    before = found(folder)
    assert before in (2, 3)  # 3 where the damage is in words that nobody reads; `found` compares the values
    checkpoints = Checkpoints(folder)
    assert checkpoints.latest(LIKE) is not None
    for step in range(before + 1, 5):
        checkpoints.save(step, state(step))
    checkpoints.close()
    assert found(folder) == 4


def test_an_altered_array_is_seen(tmp_path: Path) -> None:
    folder = saved(tmp_path / "c", 1, 2)
    largest = max((path for path in (folder / "2").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    raw = bytearray(largest.read_bytes())
    raw[len(raw) // 2] ^= 255
    largest.write_bytes(bytes(raw))
    assert found(folder) == 1


def test_an_empty_checkpoint_and_an_unfinished_one_are_passed_over(tmp_path: Path) -> None:
    folder = saved(tmp_path / "c", 1)
    (folder / "7").mkdir()
    (folder / "9.orbax-checkpoint-tmp").mkdir()
    assert found(folder) == 1 and not (folder / "9.orbax-checkpoint-tmp").exists()
    for path in (folder / "1").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    assert found(folder) is None
    assert found(saved(folder, 2)) in (None, 2)


def test_restored_arrays_are_bound_to_no_device(tmp_path: Path) -> None:
    like = jax.tree.map(jnp.array, LIKE)
    newest = Checkpoints(saved(tmp_path / "c", 1)).latest(like)
    assert newest is not None
    for fresh, restored in zip(jax.tree.leaves(like), jax.tree.leaves(newest[1]), strict=True):
        assert (restored.dtype, restored.weak_type) == (fresh.dtype, fresh.weak_type)
        assert not restored.committed and not fresh.committed


def test_arrays_may_change_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    checkpoints, changing = Checkpoints(tmp_path / "c"), state(1)
    checkpoints.save(1, changing)
    changing["a"][:] = 0  # type: ignore[index]
    checkpoints.close()
    assert found(tmp_path / "c") == 1


def test_a_full_disk_under_a_checkpoint_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.save(1, state(1))
    checkpoints.latest(LIKE)

    def full(*_: object, **__: object) -> None:
        raise ValueError("RESOURCE_EXHAUSTED: Error writing local file [OS error 28: ENOSPC No space left on device]")

    monkeypatch.setattr(checkpoints._manager, "save", full)
    with pytest.raises(CannotWrite, match="no space left on the device; make space there, nothing is lost"):
        checkpoints.save(2, state(2))
    checkpoints.close()
    assert found(tmp_path / "c") == 1


# ---------------------------------------------------------------------------------------------------- preset smoke


def test_the_smoke_preset_has_a_space_that_reaches_its_latency_budget() -> None:
    plan = make_plan(SearchConfig(space="uib_smoke", preset="smoke"))
    assert plan.proxy_resolution == plan.dataset.size == Size(8, 8)  # nothing is resized
    coarse = plan.space.coarse()
    flat = np.zeros((len(coarse.decisions), 4))
    satisfied = repair(coarse, (0,) * len(coarse.decisions), flat, plan.constraints(coarse))
    assert satisfied is not None and plan.constraints(coarse).violation(np.array([satisfied]))[0] == 0
    for budget in (plan.preset.coarse, plan.preset.fine):
        assert budget.steps % budget.steps_per_dispatch == 0  # one program per stage
