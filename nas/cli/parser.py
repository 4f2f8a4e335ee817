"""The parser of the command line: the commands in groups, and the flags of the one command that was named."""

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from nas.cli.commands import COMMANDS
from nas.errors import InvalidInput

DESCRIPTION = "Hardware-aware neural architecture search for on-device networks."


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations whose errors are `InvalidInput`; it keeps the lines of its texts."""

    def __init__(self, **settings: Any) -> None:
        fixed = {"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(**{**fixed, **settings})

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"{message}; see {self.prog} --help")


def build_parser(argv: Sequence[str] = ()) -> Parser:
    """Return the parser of all commands; of these, only the one that `argv` names has its flags.

    A parsed command leaves two things in the namespace: `check`, a function of the namespace that refuses flags that
    contradict each other, and `run`, the address "module:function" of what does the work.
    """
    parser = Parser(
        prog="nas",
        usage="nas [-h] [--version] COMMAND ...",
        description=DESCRIPTION,
        epilog="nas COMMAND --help explains one command.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    for group in dict.fromkeys(command.group for command in COMMANDS.values()):
        lines = [f"{word:<11} {each.summary}" for word, each in COMMANDS.items() if each.group == group]
        parser.add_argument_group(group, "\n".join(lines))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", prog="nas", help=argparse.SUPPRESS)
    named = next((word for word in argv if not word.startswith("-")), None)
    for word in COMMANDS:
        own = commands.add_parser(word)
        if word == named:
            _add_flags(own, word)
    return parser


def _add_flags(parser: argparse.ArgumentParser, command: str) -> None:
    """Import the flags of a command (nas/cli/flags) and add them."""
    flags = import_module(f"nas.cli.flags.{command}")
    parser.description, parser.epilog = flags.DESCRIPTION, f"example: {flags.EXAMPLE}"
    parser.set_defaults(check=_nothing_to_check, run=f"nas.cli.commands.{command}:run")
    flags.add_flags(parser)


def _nothing_to_check(args: argparse.Namespace) -> None:
    """Accept the flags of a command that has no two that contradict each other."""
