"""The registry: a member is what its kind asks for, and code runs only where a call names it, not where a file does."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nas import registry
from nas.cli.tables.search_result import next_commands
from nas.errors import InvalidInput
from nas.records.named_code import FLAGS, named_code, resume_command
from nas.records.results import result_of_run
from nas.registry import ARGUMENTS, KINDS, UnstatedCode, addresses, load, made, state

MEMBERS = {
    "space": registry.SPACES, "latency model": registry.LATENCY_MODELS, "data set": registry.DATA_SETS,
    "cost": registry.COSTS, "evaluator": registry.EVALUATORS, "algorithm": registry.ALGORITHMS,
    "accuracy model": registry.ACCURACY_MODELS, "format": registry.EXPORTERS | registry.INT8_EXPORTERS,
    "runtime": registry.RUNTIMES, "calibration method": registry.CALIBRATION_METHODS,
}  # fmt: skip
WRONG = ("os:getcwd", "os:abort", "math:pi", "builtins:str", "os:path")
STORED = Path(__file__).resolve().parent / "data" / "runs"
ARGUMENT_OF = {kind: argument for argument, kind in reversed(ARGUMENTS.items())}


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that leaves a mark where it is imported, and the mark."""
    mark = tmp_path / "it ran"
    (tmp_path / "evil.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nM = A = D = T = None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield mark
    sys.modules.pop("evil", None)
    registry._stated.difference_update({one for one in registry._stated if one[1].startswith("evil:")})


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in MEMBERS.items() for name in names])
def test_every_member_is_of_its_kind(kind: str, name: str) -> None:
    assert load(kind, MEMBERS[kind], name) is not None


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("kind", KINDS)
def test_an_object_of_the_wrong_kind_is_refused_when_it_is_named(kind: str, name: str) -> None:
    state(**{ARGUMENT_OF[kind]: name})
    with pytest.raises(InvalidInput, match=f"the {kind} '{name}' must be "):
        load(kind, {}, name)


def test_what_a_function_returns_is_of_its_kind() -> None:
    with pytest.raises(InvalidInput, match=r"the algorithm 'my:f' must be .*, but it returned int"):
        made("algorithm", "my:f", lambda: 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_counts_only_where_a_call_states_it_for_this_kind(kind: str, evil: Path) -> None:
    others = {argument: "evil:M" for argument, other in ARGUMENTS.items() if other != kind}
    state(**others, folder="evil:M", spec="evil:M")
    with pytest.raises(
        UnstatedCode, match=f"{kind} 'evil:M' is code: it runs only where the call at hand names it"
    ) as e:
        load(kind, {}, "evil:M")
    assert str(e.value).endswith(f"where you trust it, name it first: nas.registry.state({ARGUMENT_OF[kind]}='evil:M')")
    assert not evil.exists()


@pytest.mark.parametrize("name", ["evil:M.x", "evil:", "evil:M:N", "evil: M", ":M", "evil.:M", "evil:M\0", "/evil:M"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_only_resembles_an_address_is_never_imported(kind: str, name: str, evil: Path) -> None:
    state(**dict.fromkeys(ARGUMENTS, name))
    with pytest.raises(InvalidInput, match="cannot be imported; write it as"):
        load(kind, {}, name)
    assert not evil.exists()


def test_addresses_are_found_in_lists_and_between_commas() -> None:
    assert addresses(["edgetpu,my.mod:T", "./a:b", "x.forest.json:3", "c:d.toml", None, ":a"]) == ("my.mod:T",)
    assert addresses(None) == addresses(3.0) == addresses({"a": "b:c"}) == ()


# ------------------------------------------------------------------------------------------------------ stored files


def altered(folder: Path, run: str, change: Callable[[dict[str, Any]], object], name: str = "experiment.json") -> Path:
    """Return a copy of a stored run with a change in one of its files."""
    copy = shutil.copytree(STORED / run, folder / run)
    content = json.loads((copy / name).read_text())
    change(content)
    (copy / name).write_text(json.dumps(content))
    return copy


def contents(folder: Path) -> dict[Path, bytes]:
    """Return the bytes of all files of a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_result_that_names_code_runs_none(evil: Path, tmp_path: Path, refusal: Callable[..., str]) -> None:
    run = altered(tmp_path, "finished", lambda best: best.update(latency_model="evil:M"), "best.json")
    before = contents(run)
    assert "best.json has the latency model 'evil:M', the settings of the run have 'default'" in refusal("resume", run)
    assert contents(run) == before and not evil.exists()


@pytest.mark.parametrize("setting", ["space", "target", "latency_model", "data", "minimize", "accuracy_model"])
def test_settings_that_name_code_run_none_and_the_refusal_has_the_whole_command(
    setting: str, evil: Path, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    value = ["macs", "evil:M"] if setting == "minimize" else "evil:M"
    run = altered(tmp_path, "killed-coarse", lambda stored: stored["settings"].update({setting: value}))
    before = contents(run)
    command = f"nas resume {run} {FLAGS[setting]} evil:M"
    line = refusal("resume", run)
    assert f"{ARGUMENTS[setting]} 'evil:M' is code" in line and line.rstrip().endswith(f"if you trust it: {command}")
    assert contents(run) == before and not evil.exists()
    assert resume_command(run) == command
    assert "must be" in refusal(*command.split()[1:]) and evil.exists()  # named, it is imported: it is of no kind
    assert contents(run) == before


@pytest.mark.parametrize("setting", ["algorithm", "evaluator"])
def test_requests_of_several_targets_that_name_code_run_none(
    setting: str, evil: Path, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    def change(stored: dict[str, Any]) -> None:
        stored["request"][setting] = "evil:A"
        stored["request"]["settings"][1]["target"] = "evil:T"

    run = altered(tmp_path, "many-killed-searching", change)
    before = contents(run)
    assert refusal("resume", run).rstrip().endswith(f"nas resume {run} --target evil:T {FLAGS[setting]} evil:A")
    assert contents(run) == before and not evil.exists()
    named = named_code(json.loads((run / "experiment.json").read_text()))
    assert named == {"target": ("evil:T",), setting: ("evil:A",)}


@pytest.mark.parametrize("command", ["finalists", "rank", "train", "deploy"])
def test_other_commands_on_a_run_that_names_a_loader_run_none(
    command: str, evil: Path, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    run = altered(tmp_path, "finished", lambda stored: stored["settings"].update(data="evil:D"))
    assert f"nas {command} {run} --data evil:D" in refusal(command, run)
    assert not evil.exists()


def test_the_next_commands_of_a_run_name_its_code(tmp_path: Path) -> None:
    settings = {"space": "my.mod:S", "target": "my.mod:T", "data": "my.mod:D", "latency_model": "my.mod:L"}
    run = altered(tmp_path, "finished", lambda stored: stored["settings"].update(settings))
    (run / "inherited.safetensors").touch()
    deploy, compare, train = next_commands(run, result_of_run(run).arch)
    assert deploy == f"nas deploy {run} --data my.mod:D" and compare == f"nas compare {run} --targets my.mod:T"
    assert train.endswith("-trained --space my.mod:S --target my.mod:T --data my.mod:D")
    assert set(resume_command(run).split()[4::2]) == set(settings.values())


def test_a_flag_repeats_what_the_run_names_and_changes_nothing(tmp_path: Path, refusal: Callable[..., str]) -> None:
    run = shutil.copytree(STORED / "killed-coarse", tmp_path / "run")
    for words in (("resume", run), ("finalists", run), ("rank", run), ("train", run, "--proxy", "--from-supernet")):
        for value in ("my.mod:SPACE", "uib", ""):
            line = refusal(*words, "--space", value)
            assert "--space only repeats what the run names as code, nothing" in line


def test_an_error_of_code_that_was_named_is_one_line_with_its_place() -> None:
    def fails(target: object) -> None:
        raise ZeroDivisionError("of mine")

    with pytest.raises(InvalidInput, match=r"'my:f' failed at test_registry\.py:\d+ with ZeroDivisionError: of mine"):
        made("latency model", "my:f", fails, None)
    with pytest.raises(ZeroDivisionError):  # of this package it is a fault of ours
        made("latency model", "default", fails, None)
