"""--help: commands and flags in named groups, an example of each command that parses, and nothing heavy loaded."""

import re
import shlex
from collections.abc import Callable
from pkgutil import iter_modules, resolve_name
from typing import Any

import pytest

import nas.cli.commands
import nas.cli.flags
from nas.cli import main
from nas.cli.commands import COMMANDS
from nas.cli.parser import build_parser
from tests.cli.test_cli import modules_after

OF_ARGPARSE = {"positional arguments", "options"}


def help_of(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as leaving:
        main([*argv, "--help"])
    assert leaving.value.code == 0
    return capsys.readouterr().out


def groups_of(shown: str) -> dict[str, list[str]]:
    """Return the titles of the groups in a help text, and the first word of each entry in them."""
    groups: dict[str, list[str]] = {}
    for line in shown.splitlines():
        if title := re.fullmatch(r"([a-z][a-z ]*):", line):
            groups[title[1]] = []
        elif groups and (entry := re.match(r"  (\S+)", line)):
            groups[list(groups)[-1]].append(entry[1].rstrip(","))
    return groups


def test_commands_are_listed_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    groups = groups_of(help_of(capsys))
    del groups["options"]
    assert len(groups) > 2 and all(groups.values())
    assert [word for words in groups.values() for word in words] == list(COMMANDS)


def test_the_bare_word_and_help_print_what_the_flag_prints(out: Callable[..., str], capsys: Any) -> None:
    assert out() == help_of(capsys)
    with pytest.raises(SystemExit):
        main(["help", "zoo"])
    assert capsys.readouterr().out == help_of(capsys, "zoo")


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_are_in_named_groups(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    groups = groups_of(help_of(capsys, command))
    assert groups.pop("options") == ["-h"]
    assert groups and not OF_ARGPARSE & set(groups)
    assert all(groups.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_parses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"^example: (.*)$", help_of(capsys, command), re.MULTILINE)
    program, *words = shlex.split(example)
    args = build_parser(words).parse_args(words)
    assert (program, words[0], args.command) == ("nas", command, command)
    assert callable(resolve_name(args.run))


def test_every_command_has_flags_and_work() -> None:
    assert {module.name for module in iter_modules(nas.cli.flags.__path__)} == {*COMMANDS, "shared"}
    assert {module.name for module in iter_modules(nas.cli.commands.__path__)} >= set(COMMANDS)


def test_no_help_loads_anything_heavy() -> None:
    code = (
        "from nas.cli.commands import COMMANDS\nfrom nas.cli.parser import build_parser\n"
        "for command in COMMANDS:\n    build_parser([command]).parse_args([])"
    )
    assert modules_after(code) == set()
