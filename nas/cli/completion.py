"""Shell completion: what can follow each flag, and scripts for bash, zsh and fish written from the parser.

The names of targets, networks and so on are those of this installation at the time when the script is printed.
"""

import argparse
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from latency_models.target import list_targets
from nas.cli.commands import COMMANDS
from nas.cli.flags.finalists import SCHEDULERS
from nas.cli.flags.search import PRESETS
from nas.cli.parser import command_parsers
from nas.registry import (
    ACCURACY_MODELS,
    ALGORITHMS,
    CALIBRATION_METHODS,
    COSTS,
    DATA_SETS,
    EVALUATORS,
    EXPORTERS,
    LATENCY_MODELS,
    RUNTIMES,
    SPACES,
)
from nas.training.recipe_names import recipe_names
from nas.zoo import ZOO

Paths = Literal["files", "folders", ""]
DATA = ("--data", "--calibration")
RECIPES = ("--recipe",)
TARGETS = ("--target", "--targets", "--like")
MEMBERS = {  # flag -> the registry that names its values
    "--space": SPACES, "--latency-model": LATENCY_MODELS, "--algorithm": ALGORITHMS, "--evaluator": EVALUATORS,
    "--minimize": COSTS, "--format": EXPORTERS, "--runtime": RUNTIMES, "--preset": PRESETS, "--scheduler": SCHEDULERS,
    "--accuracy-model": (*ACCURACY_MODELS, "none"),
    "--baseline": ZOO, "--dtype": ("int8", "fp16", "fp32"), "--quantize": ("int8",),
    "--calibration-method": CALIBRATION_METHODS, **dict.fromkeys(DATA, DATA_SETS),
}  # fmt: skip
FOLDERS = ("RUN", "DIR")  # metavars
FILES = ("PATH", "FILE", "CSV", "W", "MEASUREMENTS.csv")


@dataclass(frozen=True)
class Values:
    """What may follow a flag or stand as an argument: names, and paths; `listed` where commas stand between names."""

    names: tuple[str, ...] = ()
    paths: Paths = ""
    listed: bool = False


@dataclass(frozen=True)
class Flag:
    """One flag in all its spellings; `values` is None where nothing follows it."""

    spellings: tuple[str, ...]
    values: Values | None
    help: str


@dataclass(frozen=True)
class Completions:
    """What completes one command: its flags, and its arguments, all alike."""

    summary: str
    flags: tuple[Flag, ...]
    arguments: Values


def script(shell: str) -> str:
    """Return the completion script for "bash", "zsh" or "fish"."""
    writers = {"bash": bash, "zsh": zsh, "fish": fish}
    return writers[shell](completions())


@cache
def completions() -> dict[str, Completions]:
    """Return what completes each command."""
    return {word: _of_command(COMMANDS[word].summary, parser) for word, parser in command_parsers().items()}


def _of_command(summary: str, parser: argparse.ArgumentParser) -> Completions:
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    flags = tuple(_flag(action) for action in shown if action.option_strings)
    arguments = [values_of(action) for action in shown if not action.option_strings]
    return Completions(summary, flags, arguments[0] if arguments else Values())


def _flag(action: argparse.Action) -> Flag:
    help = " ".join((action.help or "").split())
    return Flag(tuple(action.option_strings), None if action.nargs == 0 else values_of(action), help)


def values_of(action: argparse.Action) -> Values:
    """Return what completes the value of a flag or an argument."""
    flag = next((each for each in action.option_strings if each in MEMBERS or each in TARGETS), "")
    metavar = str(action.metavar or "")
    listed = "," in metavar or flag in ("--target", "--targets", "--minimize")
    if action.choices is not None:
        return Values(tuple(map(str, action.choices)))
    if flag in RECIPES or action.dest == "recipe":
        return Values(recipe_names(), "files")
    if flag in TARGETS or action.dest == "target":
        return Values(target_spellings(), "files", listed)
    if flag:
        return Values(tuple(MEMBERS[flag]), "files" if flag in DATA else "", listed)
    if "SPEC" in metavar:
        return Values(tuple(ZOO), "files")
    if "SPACE" in metavar:
        return Values(tuple(SPACES), "folders")
    folders, files = metavar in FOLDERS, metavar in FILES or metavar.startswith("FILE")
    return Values((), "folders" if folders else "files" if files else "")


def target_spellings() -> tuple[str, ...]:
    """Return the names and aliases of all targets."""
    return tuple(word for target in list_targets() for word in (target.name, *target.aliases))


# ------------------------------------------------------------------------------------------------------------- bash

BASH = """\
# bash completion for nas; written by: nas completion bash
_nas() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" command="" word flags="" i
  if [[ $cur == = ]]; then cur=""; elif [[ $prev == = ]]; then prev="${{COMP_WORDS[COMP_CWORD-2]}}"; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ ${{COMP_WORDS[i]}} != -* ]]; then command="${{COMP_WORDS[i]}}"; break; fi
  done
  COMPREPLY=()
  case "$command" in
    "") COMPREPLY=($(compgen -W "--help --version {commands}" -- "$cur")); return ;;
{flags}
    *) return ;;
  esac
  case "$command $prev" in
{values}
  esac
  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$cur")); return; fi
  case "$command" in
{arguments}
  esac
}}
_nas_names() {{  # words, current word
  COMPREPLY+=($(compgen -W "$1" -- "$2"))
}}
_nas_list() {{  # words, current word: names with commas between them
  local before=""
  if [[ $2 == *,* ]]; then before="${{2%,*}},"; fi
  COMPREPLY+=($(compgen -P "$before" -W "$1" -- "${{2##*,}}"))
}}
_nas_paths() {{  # -f or -d, current word
  compopt -o filenames 2> /dev/null
  local IFS=$'\\n'
  COMPREPLY+=($(compgen "$1" -- "$2"))
}}
complete -F _nas nas
"""


def bash(commands: dict[str, Completions]) -> str:
    """Return the script for bash."""
    flags = [f'    {word}) flags="{" ".join(_spellings(one.flags))}" ;;' for word, one in commands.items()]
    values = [
        f"    {'|'.join(shlex.quote(f'{word} {each}') for each in flag.spellings)}) {_bash(flag.values)} return ;;"
        for word, one in commands.items()
        for flag in one.flags
        if flag.values is not None
    ]
    arguments = [f"    {word}) {_bash(one.arguments)} ;;" for word, one in commands.items() if _bash(one.arguments)]
    return BASH.format(
        commands=" ".join(commands), flags="\n".join(flags), values="\n".join(values), arguments="\n".join(arguments)
    )


def _spellings(flags: Iterable[Flag]) -> Iterator[str]:
    for flag in flags:
        yield from flag.spellings


def _bash(values: Values) -> str:
    """Return the calls that complete `values`."""
    calls = []
    if values.names:
        calls.append(f'{"_nas_list" if values.listed else "_nas_names"} "{" ".join(values.names)}" "$cur";')
    if values.paths:
        calls.append(f'_nas_paths {"-d" if values.paths == "folders" else "-f"} "$cur";')
    return " ".join(calls)


# -------------------------------------------------------------------------------------------------------------- zsh

ZSH = """\
#compdef nas
# zsh completion for nas; written by: nas completion zsh
_nas() {{
  local -a commands=(
{commands}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command="$words[2]"
  shift words
  (( CURRENT-- ))
  case "$command" in
{cases}
  esac
}}
_nas_names_or_files() {{
  local -a names=("$@")
  compadd -a names
  _files
}}
if [[ $funcstack[1] == _nas ]]; then _nas "$@"; else compdef _nas nas; fi
"""


def zsh(commands: dict[str, Completions]) -> str:
    """Return the script for zsh."""
    listed = [f"    {shlex.quote(f'{word}:{one.summary}')}" for word, one in commands.items()]
    cases = [f"    {word}) _arguments {' '.join(map(shlex.quote, _zsh(one)))} ;;" for word, one in commands.items()]
    return ZSH.format(commands="\n".join(listed), cases="\n".join(cases))


def _zsh(one: Completions) -> Iterator[str]:
    """Yield the specifications of zsh's _arguments."""
    for flag in one.flags:
        help = flag.help.translate({ord(char): f"\\{char}" for char in "[]:"})
        for spelling in flag.spellings:
            yield f"{spelling}[{help}]" + (f":value:{_zsh_action(flag.values)}" if flag.values is not None else "")
    if action := _zsh_action(one.arguments):
        yield f"*:argument:{action}"


def _zsh_action(values: Values) -> str:
    names = " ".join(values.names)
    if values.listed:
        return f"_values -s , value {names}"
    if values.names and values.paths:
        return f" _nas_names_or_files {names}"  # the blank: nothing is to be added to the words
    return f"({names})" if names else {"files": "_files", "folders": "_files -/", "": ""}[values.paths]


# ------------------------------------------------------------------------------------------------------------- fish


def fish(commands: dict[str, Completions]) -> str:
    """Return the script for fish."""
    return "\n".join(_fish(commands)) + "\n"


def _fish(commands: dict[str, Completions]) -> Iterator[str]:
    yield "# fish completion for nas; written by: nas completion fish"
    yield "complete -c nas -f"
    for word, one in commands.items():
        yield f"complete -c nas -n __fish_use_subcommand -a {word} -d {_fish_quote(one.summary)}"
    for word, one in commands.items():
        seen = f"complete -c nas -n '__fish_seen_subcommand_from {word}'"
        if arguments := _fish_values(one.arguments):
            yield f"{seen} {arguments}"
        for flag in one.flags:
            letters = " ".join(f"-{'l' if each.startswith('--') else 's'} {each.strip('-')}" for each in flag.spellings)
            follows = "" if flag.values is None else f" -x {_fish_values(flag.values)}".rstrip()
            yield f"{seen} {letters}{follows} -d {_fish_quote(flag.help)}"


def _fish_values(values: Values) -> str:
    """Return the flag -a of fish's complete with the names and paths of `values`, "" where there are none."""
    paths = {"files": "(__fish_complete_path (commandline -ct))", "folders": "(__fish_complete_directories)", "": ""}[
        values.paths
    ]
    if values.listed:
        paths = f'(__fish_complete_list , \'string split " " "{" ".join(values.names)}"\') {paths}'
    names = " ".join(() if values.listed else values.names)
    both = f"{names} {paths}".strip()
    return f"-a {_fish_quote(both)}" if both else ""


def _fish_quote(text: str) -> str:
    """Return `text` in single quotes as fish reads them."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
