"""The command line `nas`: parse the flags, run the command, print its errors in one line, return an exit status.

The flags of a command (nas/cli/flags) are imported when its name is read, and what it does (nas/cli/commands) once its
flags are parsed and checked: `nas --help` and a mistyped flag need not wait for jax.
"""

import argparse
import errno
import gc
import os
import shlex
import sys
from collections.abc import Sequence
from pkgutil import resolve_name

import nas
from nas.cli import signals
from nas.cli.compilation_cache import keep_compiled
from nas.cli.flag_rules import check_rules
from nas.cli.output import complain, give_up_output, open_output, say
from nas.cli.parser import build_parser, command_parsers
from nas.cli.printable import show_warnings_in_one_line
from nas.errors import InvalidInput, UnknownName
from nas.progress.stop import stop_requested
from nas.registry import ARGUMENTS, UnstatedCode, state

BAD_INPUT = 2
BROKEN_PIPE = 141
GC_THRESHOLDS = (100_000, 50, 100)  # rarely: jax makes millions of objects as it traces a program
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO)  # of a full device, or a closed stream


def program() -> int:
    """Run the command line as a process of its own, and return the exit status: `main`, and a quick end."""
    signals.end_in_time()
    show_warnings_in_one_line()
    # The matrices of fits are small: more threads of BLAS wait for each other where cores are busy, and sums round by
    # their number.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(*GC_THRESHOLDS)
    if sys.argv[1:2] not in ([], ["--help"], ["--version"]):
        keep_compiled()
    status = main()
    gc.freeze()  # all that is left goes with the process: looking through it for cycles takes a second after a search
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` and return the exit status: 0, 2 for bad input, 128 + the signal that stopped it."""
    with signals.handled():
        try:
            open_output()
            _run(sys.argv[1:] if argv is None else argv)
            sys.stdout.flush()
            return 0
        except KeyboardInterrupt as stop:  # a command that can go on puts the words into it
            return _stopped(*stop.args)
        except Exception as error:
            return _stopped() if stop_requested() else _failed(error)


def _stopped(*advice: object) -> int:
    signals.say_last("; ".join(["nas: stopped", *(" ".join(str(line).split()) for line in advice)]))
    return signals.stopped()


def _failed(error: Exception) -> int:
    """Return the exit status for an error, which is raised again where it is none that a user can cause."""
    if isinstance(error, BrokenPipeError):  # the reader, `head` say, has what it wanted
        give_up_output()
        return BROKEN_PIPE
    if isinstance(error, OSError) and error.errno in NO_ROOM and error.filename is None:  # of no file that has a name
        give_up_output()
        error = InvalidInput(f"cannot write to standard output: {error.strerror}")
    if isinstance(error, InvalidInput | UnknownName):
        complain(str(error))
        return BAD_INPUT
    raise error


def _run(argv: Sequence[str]) -> None:
    if argv[:1] == ["help"]:  # nas help COMMAND
        argv = [*argv[1:2], "--help"]
    parser = build_parser(argv)
    args = parser.parse_args(argv)
    if args.version:
        say(f"nas {nas.__version__}")
        return
    if args.command is None:
        parser.print_help()
        return
    state(**vars(args))
    check_rules(command_parsers(parser)[args.command], args)
    try:
        args.check(args)
        resolve_name(args.run)(args)
    except UnstatedCode as error:
        raise InvalidInput(f"{error.reason}; {_command_that_names(error, args, argv)}") from error


def _command_that_names(error: UnstatedCode, args: argparse.Namespace, argv: Sequence[str]) -> str:
    """Return the words on how the command in `argv` names the code that it lacks: the whole command, if it can."""
    words = list[str]()
    for kind, name in error.names:
        flags = [f"--{dest.replace('_', '-')}" for dest, own in ARGUMENTS.items() if own == kind and dest in args]
        if not flags or flags[0] == "--subject":
            return f"nas {args.command} runs no code of the kind '{kind}'"
        words += [flags[0], name]
    return f"if you trust it: {shlex.join(('nas', *argv, *words))}"
