"""nas completion: the scripts complete what the parser has, in the shells that are here."""

import shutil
import subprocess
from pathlib import Path

import pytest

from nas.cli.commands import COMMANDS
from nas.cli.completion import DATA, MEMBERS, TARGETS, completions, script, values_of
from nas.cli.flags.finalists import SCHEDULERS as SCHEDULER_NAMES
from nas.cli.flags.search import PRESETS as PRESET_NAMES
from nas.cli.parser import command_parsers

CASES = [  # words typed so far -> what completes the last, all of it or some
    (["nas", ""], {"search", "zoo", "completion"}),
    (["nas", "comp"], {"compare", "completion"}),
    (["nas", "search", "--mini"], {"--minimize"}),
    (["nas", "search", "--target", "rpi"], {"rpi4", "rpi4-int8", "rpi5", "rpi5-int8"}),
    (["nas", "search", "--target", "rpi5,edge"], {"rpi5,edgetpu"}),
    (["nas", "search", "--preset", "s"], {"smoke", "standard"}),
    (["nas", "describe", "mobilenetv4-conv-"], {f"mobilenetv4-conv-{size}" for size in "sml"}),
    (["nas", "compare", "mobilenetv1", "mobilenetv3-s"], {"mobilenetv3-small", "mobilenetv3-small-minimalistic"}),
    (["nas", "export", "mobilenetv1", "--format", "on"], {"onnx"}),
    (["nas", "train", "mobilenetv1", "--data", "di"], {"digits"}),
    (["nas", "calibrate", "--model", "f"], {"forest"}),
    (["nas", "train", "mobilenetv1", "--recipe", "s"], {"small-data"}),
    (["nas", "recipes", "mobilenetv4-hybrid"], {"mobilenetv4-hybrid-m", "mobilenetv4-hybrid-l"}),
    (["nas", "completion", "z"], {"zsh"}),
]


def test_every_command_and_flag_is_completed() -> None:
    known = completions()
    assert list(known) == list(COMMANDS)
    for word, parser in command_parsers().items():
        spellings = {each for action in parser._actions for each in action.option_strings}
        assert {each for flag in known[word].flags for each in flag.spellings} == spellings


def test_what_a_flag_is_said_to_take_exists() -> None:
    flags = {flag for parser in command_parsers().values() for flag in parser._option_string_actions}
    assert flags >= {*DATA, *TARGETS, *set(MEMBERS) - {"--baseline"}}
    for parser in command_parsers().values():
        for action in parser._actions:
            if action.choices is not None:
                assert values_of(action).names == tuple(action.choices)


def test_names_that_the_flags_keep_are_those_of_the_engine() -> None:
    from nas.supernet.presets import PRESETS
    from nas.training.candidates import SCHEDULERS

    assert tuple(PRESETS) == PRESET_NAMES
    assert SCHEDULERS == SCHEDULER_NAMES


def completed_by_bash(words: list[str], folder: Path) -> set[str]:
    """Return what bash offers for the last of `words`, where --flag=value are three words."""
    program = f'{script("bash")}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _nas; printf "%s\\n" "${{COMPREPLY[@]}}"'
    shown = subprocess.run(
        ["bash", "-c", program, "bash", *words], capture_output=True, text=True, check=True, cwd=folder
    )
    assert shown.stderr == ""
    return set(shown.stdout.split())


@pytest.mark.parametrize(
    ("words", "expected"), CASES, ids=lambda value: " ".join(sorted(value) if isinstance(value, set) else value)
)
def test_bash(words: list[str], expected: set[str], tmp_path: Path) -> None:
    found = completed_by_bash(words, tmp_path)
    assert found >= expected if words[-1] == "" else found == expected


def test_bash_completes_paths_and_values_after_an_equals_sign(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs.toml").write_text("")
    assert completed_by_bash(["nas", "resume", "ru"], tmp_path) == {"runs"}
    assert completed_by_bash(["nas", "describe", "ru"], tmp_path) == {"runs", "runs.toml"}
    assert completed_by_bash(["nas", "search", "--target", "=", "rpi"], tmp_path) == {
        "rpi4", "rpi4-int8", "rpi5", "rpi5-int8",
    }  # fmt: skip
    assert completed_by_bash(["nas", "search", "--seed", "r"], tmp_path) == set()
    assert completed_by_bash(["nas", "serch", "r"], tmp_path) == set()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_is_one_that_the_shell_reads(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    (path := tmp_path / "script").write_text(script(shell))
    subprocess.run([shell, "-n", str(path)], check=True)


@pytest.mark.parametrize(
    ("words", "expected"), CASES[1:], ids=lambda value: " ".join(sorted(value) if isinstance(value, set) else value)
)
def test_fish(words: list[str], expected: set[str], tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not here")
    (path := tmp_path / "nas.fish").write_text(script("fish"))
    program = f"source {path}; complete -C '{' '.join(words)}'"
    shown = subprocess.run(["fish", "-N", "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert {line.partition("\t")[0] for line in shown.stdout.splitlines()} >= expected


def test_zsh_and_fish_scripts_name_every_command_and_flag() -> None:
    for word, one in completions().items():
        assert f"\n    {word}) " in script("zsh")
        assert f"-a {word} -d" in script("fish")
        for flag in one.flags:
            for spelling in flag.spellings:
                assert f"{spelling}[" in script("zsh")
                assert f"{'-l' if spelling.startswith('--') else '-s'} {spelling.strip('-')} " in script("fish")


def test_a_shell_that_does_not_exist(refusal: object) -> None:
    assert "did you mean 'bash'?" in refusal("completion", "bsh")  # type: ignore[operator]
