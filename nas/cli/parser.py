"""The parser of the command line: the commands in groups, and the flags of the one command that was named."""

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

from nas.cli.argument_types import text
from nas.cli.commands import COMMANDS
from nas.errors import InvalidInput, unknown_name

DESCRIPTION = "Hardware-aware neural architecture search for on-device networks."
NUMBER = re.compile(r"-[.\d]")  # a negative number is a value, not a flag
END_OF_FLAGS = "--"


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations whose errors are `InvalidInput`; it keeps the lines of its texts.

    A flag or choice that it does not know is answered with the nearest one that it knows.
    """

    def __init__(self, **settings: Any) -> None:
        fixed = {"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(**{**fixed, **settings})

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(message + (" See " if message.endswith("?") else "; see ") + f"{self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, but first refuse a flag that does not exist: argparse would miss something else before it does."""
        for word in self._own_words(args or ()):
            flag, _, value = word.partition("=")
            if value == END_OF_FLAGS or (word[2:] == END_OF_FLAGS and word[:2] in self._short_flags()):
                self.error(f"argument {word[:2] if word[2:] == END_OF_FLAGS else flag}: must have a value, got '--'")
            if _is_flag(flag) and flag not in self._option_string_actions and flag[:2] not in self._short_flags():
                self.error(unknown_flag(flag, self._option_string_actions))
        return super().parse_known_args(args, namespace)

    def _own_words(self, argv: Sequence[str]) -> Iterator[str]:
        """Yield the words of `argv` up to "--", and in the parser of all commands up to a command."""
        for word in argv:
            if word == END_OF_FLAGS or (self._subparsers is not None and word in COMMANDS):
                return
            yield word

    def _short_flags(self) -> set[str]:
        """Return the flags of one letter, whose value may follow without a blank: -oFILE."""
        return {flag for flag in self._option_string_actions if len(flag) == 2}

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise `InvalidInput` where `value` is none of the choices of `action`; argparse's own hook for that."""
        if action.choices is not None and value not in action.choices:
            kind = action.option_strings[0] if action.option_strings else str(action.metavar).lower()
            self.error(str(unknown_name(kind, str(value), map(str, action.choices))))


def _is_flag(word: str) -> bool:
    return word.startswith("-") and len(word) > 1 and not NUMBER.match(word) and " " not in word


def unknown_flag(flag: str, known: Iterable[str]) -> str:
    """Return the words for a flag that does not exist, with the nearest of the `known` ones."""
    word, words = flag.strip("-"), {each.strip("-"): each for each in known}
    begun = [each for each in words if each.startswith(word) and len(word) > 2]
    near = get_close_matches(word, begun, 1, 0.0) or get_close_matches(word, words, 1, 0.5)
    return f"unknown flag {flag}" + (f"; did you mean {words[near[0]]}?" if near else "")


def build_parser(argv: Sequence[str] = (), *, all_flags: bool = False) -> Parser:
    """Return the parser of all commands; only the one that `argv` names has its flags, or all with `all_flags`.

    A parsed command leaves two things in the namespace: `check`, a function of the namespace that refuses what the
    table of flags that contradict each other (nas/cli/flag_rules.py) cannot, and `run`, the address "module:function"
    of what does the work.
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
        if all_flags or word == named:
            _add_flags(own, word)
    return parser


def command_parsers(parser: Parser | None = None) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the commands in the `parser` of all of them; by default with all their flags."""
    for action in (parser or build_parser(all_flags=True))._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("the parser has commands")


def _add_flags(parser: argparse.ArgumentParser, command: str) -> None:
    """Import the flags of a command (nas/cli/flags) and add them."""
    flags = import_module(f"nas.cli.flags.{command}")
    parser.description, parser.epilog = flags.DESCRIPTION, f"example: {flags.EXAMPLE}"
    parser.register("type", None, text)  # of flags that state none
    parser.set_defaults(check=_nothing_to_check, run=f"nas.cli.commands.{command}:run")
    flags.add_flags(parser)


def _nothing_to_check(args: argparse.Namespace) -> None:
    """Accept the flags of a command that has no two that contradict each other."""
