"""The command line `nas`: parse the flags, run the command, print its errors in one line, return an exit status.

The flags of a command (nas/cli/flags) are imported when its name is read, and what it does (nas/cli/commands) once its
flags are parsed and checked: `nas --help` and a mistyped flag need not wait for jax.
"""

import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pkgutil import resolve_name
from types import FrameType

import nas
from nas.cli.parser import build_parser
from nas.errors import InvalidInput, UnknownName

BAD_INPUT = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


def program() -> int:
    """Run the command line as a process of its own, and return the exit status: `main`, and a quick end."""
    status = main()
    gc.freeze()  # all that is left goes with the process: looking through it for cycles takes a second after a search
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` and return the exit status: 0, 2 for bad input, 130 where the user stopped it."""
    with _terminated_like_interrupted():
        try:
            _run(sys.argv[1:] if argv is None else argv)
            sys.stdout.flush()
            return 0
        except (InvalidInput, UnknownName) as error:
            return _complain(str(error), BAD_INPUT)
        except KeyboardInterrupt as stop:  # a command that can go on puts the words into it
            return _complain("; ".join(["stopped", *map(str, stop.args)]), INTERRUPTED)
        except BrokenPipeError:  # the reader, `head` say, has what it wanted
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE


def _run(argv: Sequence[str]) -> None:
    if argv[:1] == ["help"]:  # nas help COMMAND
        argv = [*argv[1:2], "--help"]
    args = build_parser(argv).parse_args(argv)
    if args.version:
        print(f"nas {nas.__version__}")
        return
    if args.command is None:
        build_parser().print_help()
        return
    args.check(args)
    resolve_name(args.run)(args)


def _complain(message: str, status: int) -> int:
    print(f"nas: {' '.join(message.split())}", file=sys.stderr)
    return status


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does. Where signals cannot be set (not in the main thread), change nothing."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
