"""Attacks on flags: every flag and argument of every command with bad values, and every pair of flags together.

Commands and flags are those of the parser; a new one is attacked without being asked.
"""

import argparse
import random
import shlex
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from itertools import combinations
from pathlib import Path

from tests.fuzz.files import Attack

BAD = (
    "", "--", "-", "x", "0", "-1", "1", "1.5", "nan", "inf", "1e400", "9" * 400, "9" * 5000, "2147483648",
    "18446744073709551616", "é", "\udcff", "a\x00b", "a" * 300, "a" * 5000, "/", ".", "..", "./", "~nouser/x", "~",
    "/dev/null", "/dev/zero", "loop", "fifo", "folder", "file.txt", "missing/file.json", "\x1b[31mred", "[bold]x[/]",
    "[/]", "os:getcwd", "a:b", ":", "no.such:x", "json:dumps", "0,0", ",", "a,a", "1..2", "2..1", "..", "@", "x@1ms",
    "run@1ms", "1ms", "3M", "-1KB", "1e9ms", "%s", "{}", "$(x)", "a\nb", "true", "null", "run", "1" * 60 + "ms",
)  # fmt: skip
PLACES = {  # what stands for the folders and files in the examples of commands
    "runs/uib-edgetpu-digits-quick-s0": "run", "runs/mine": "run", "runs": ".", "measured.csv": "measured.csv",
}  # fmt: skip
VALUES = (  # of which the first that a flag takes is its value in a pair
    "1", "0.1", "edgetpu", "json", "uib", "none", "white", "nsga2", "digits", "x",
)  # fmt: skip
KNOWN = {"--target": "rpi5", "--targets": "rpi5", "--space": "uib", "--data": "digits", "--preset": "smoke"}


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command."""
    from nas.cli.parser import command_parsers

    return command_parsers()


def base(command: str) -> list[str]:
    """Return words of the command that it accepts: those of its example, and --plan where it has that."""
    _, _, *rest = shlex.split(import_module(f"nas.cli.flags.{command}").EXAMPLE)
    words = [command, *(PLACES.get(word, word) for word in rest)]
    flags = parsers()[command]._option_string_actions
    words += ["--preset", "smoke"] if command == "search" else []
    return words + (["--plan"] if "--plan" in flags else [])


def actions(command: str) -> list[argparse.Action]:
    """Return the flags and arguments of a command, but for --help."""
    return [one for one in parsers()[command]._actions if not isinstance(one, argparse._HelpAction)]


def prepare() -> dict[str, Callable[[random.Random], Attack]]:
    """Return for each command what makes an attack by a bad value, and one by a pair of its flags."""
    makers: dict[str, Callable[[random.Random], Attack]] = {}
    for command in parsers():
        makers[f"{command}: values"] = partial(_bad_value, command)
        if len(_valued(command)) > 1:
            makers[f"{command}: pairs"] = partial(_pair, command)
    return makers


def _bad_value(command: str, rng: random.Random) -> Attack:
    action, value = rng.choice(actions(command)), rng.choice(BAD)
    words = base(command)
    if action.option_strings:
        flag = rng.choice(action.option_strings)
        words += [f"{flag}={value}"] if rng.random() < 0.7 else [flag, value]
    else:
        words = [command, value, *(word for word in words[1:] if word.startswith("--"))]
    return Attack(f"{command}: values", "", b"", tuple(words))


def _pair(command: str, rng: random.Random) -> Attack:
    first, second = rng.choice(list(combinations(_valued(command), 2)))
    return Attack(f"{command}: pairs", "", b"", (*base(command), *first, *second))


@cache
def _valued(command: str) -> tuple[tuple[str, ...], ...]:
    """Return every flag of a command with a value that it takes."""
    return tuple(_with_value(action) for action in actions(command) if action.option_strings)


def _with_value(action: argparse.Action) -> tuple[str, ...]:
    flag = action.option_strings[-1]
    if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
        return (action.option_strings[0],)
    if action.choices:
        return flag, str(next(iter(action.choices)))
    return flag, KNOWN.get(flag) or next((value for value in VALUES if _takes(action, value)), "x")


def _takes(action: argparse.Action, value: str) -> bool:
    if action.type is None:
        return False
    try:
        action.type(value)  # type: ignore[operator]
    except (ValueError, TypeError, argparse.ArgumentTypeError):
        return False
    return True


def lay_out(folder: Path, source: Path) -> None:
    """Make what bad values name: a loop of links, a pipe, a folder, a file, a run and measurements."""
    import os
    import shutil

    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "fifo")
    (folder / "folder").mkdir()
    (folder / "file.txt").write_text("text\n")
    shutil.copytree(source / "runs/finished", folder / "run")
    shutil.copy(source / "samples/measured.csv", folder / "measured.csv")


def every_pair(command: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every pair of flags of a command."""
    for first, second in combinations(_valued(command), 2):
        yield (*base(command), *first, *second)
