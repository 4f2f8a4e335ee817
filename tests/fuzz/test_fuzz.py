"""Some of the attacks on everything that comes from outside; `python -m experiments.fuzz` makes any number of them."""

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from nas.cli.commands import COMMANDS
from tests.fuzz import files, flags, mutators
from tests.fuzz.campaign import campaign, run_one
from tests.fuzz.files import NEVER_READ, NO_READER, READING, Attack
from tests.fuzz.invocation import attack

ATTACKS = 140  # about 15 s
UNREAD = {"coarse.json", "signature.json"}  # in a sample by chance not read: that of a finished run, of a made-up one


def test_some_attacks_on_every_reader_and_flag(tmp_path: Path) -> None:
    found = campaign(tmp_path, seed=20, attacks=ATTACKS)
    assert found.counts.total() == ATTACKS
    assert not found.faults, "\n".join(map(str, found.faults.values()))


def test_every_command_is_attacked_by_its_flags_and_by_the_runs_it_reads() -> None:
    assert sorted([*READING, *NO_READER]) == sorted(COMMANDS)
    assert {name.partition(":")[0] for name in flags.prepare()} == set(COMMANDS)
    assert [flags.base(command)[0] for command in COMMANDS] == list(COMMANDS)


def test_every_file_of_a_run_is_read_by_a_command_that_attacks_use(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    files.prepare(source)
    opened: set[str] = set()
    watching = [True]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and isinstance(arguments[0], str | Path):
            opened.add(Path(arguments[0]).name)

    sys.addaudithook(hook)  # there is no way to take it back: the list switches it off
    for run in ("finished", "many", "trained", "chosen-alone-finalists", "made-up"):
        for number, words in enumerate(READING.values() if run == "many" else [READING["show"], READING["resume"]]):
            path = next(p for p in (source / "runs" / run).iterdir() if p.is_file())
            one = Attack(f"{run}/{path.name}", f"run/{path.name}", path.read_bytes(), tuple(words.split()))
            run_one(one, source, tmp_path / f"{run}-{number}")
    watching.clear()
    kinds = {p.name for p in (source / "runs").rglob("*") if p.is_file() and p.suffix not in NEVER_READ}
    kinds = {name for name in kinds if name.partition(".")[0] not in {p.stem for p in source.rglob("specs/*")}}
    assert kinds - opened <= UNREAD


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.toml", "a.npz"])
def test_mutators_damage_and_repeat_themselves(name: str) -> None:
    data = b'{"a": [1, 2.5, {"b": "c"}],\n"d": null}\n' * 3
    made = [mutators.mutate(name, data, Random(seed)) for seed in range(40)]
    assert made == [mutators.mutate(name, data, Random(seed)) for seed in range(40)]
    assert len({*made} - {data}) > 20


def test_the_law_is_broken_by_tracebacks_silence_escape_sequences_and_leftovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: Any) -> None:
        raise IndexError("7")

    def leave(args: Any) -> None:
        Path("o").mkdir()
        raise SystemExit(2)

    def escape(args: Any) -> None:
        sys.stdout.write("\x1b[2J")

    def kind_of(run: Callable[[Any], None]) -> str:
        monkeypatch.setattr("nas.cli.commands.zoo.run", run)
        fault = attack(["zoo"], tmp_path)
        assert fault is not None
        return f"{fault.kind}: {fault.detail}"

    monkeypatch.chdir(tmp_path)
    assert kind_of(fail) == "traceback: IndexError: 7"
    assert kind_of(leave).startswith("wrong end: no refusal")
    assert kind_of(escape).startswith("wrong end: control character")
    monkeypatch.undo()
    assert attack(["zoo", "--json"], tmp_path) is None
