"""The command line `nas`: names to objects, print, exit status. Everything heavy is imported inside the commands."""

import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from nas.cli.arguments import Parser
from nas.errors import InvalidInput, UnknownName

BAD_INPUT = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


def build_parser() -> Parser:
    """Return the parser of all commands; each command puts its function into the namespace as `run`."""
    from nas.cli import calibrating, comparing, finalists, listing, measuring, networks, runs, searching, training

    parser = Parser(
        prog="nas",
        description="Hardware-aware neural architecture search for on-device networks.",
        epilog="nas COMMAND --help explains one command.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    groups = (searching, runs, training, finalists, networks, comparing, calibrating, measuring, listing)
    for group in groups:
        group.add_commands(commands)
    return parser


def program() -> int:
    """Run the command line as a process of its own, and return the exit status: `main`, and a quick end."""
    status = main()
    gc.freeze()  # all that is left goes with the process: looking through it for cycles takes a second after a search
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` and return the exit status: 0, 2 for bad input, 130 where the user stopped it."""
    with _terminated_like_interrupted():
        try:
            _run(argv)
            sys.stdout.flush()
            return 0
        except (InvalidInput, UnknownName) as error:
            return _complain(str(error), BAD_INPUT)
        except KeyboardInterrupt as stop:  # a command that can go on puts the words into it
            return _complain("; ".join(["stopped", *map(str, stop.args)]), INTERRUPTED)
        except BrokenPipeError:  # the reader, `head` say, has what it wanted
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE


def _run(argv: Sequence[str] | None) -> None:
    args = build_parser().parse_args(argv)
    if args.version:
        print(f"nas {_version()}")
        return
    if args.command is None:
        raise InvalidInput("a command is missing; nas --help lists them")
    args.run(args)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("nas-engine")
    except PackageNotFoundError:
        return "from a source tree that is not installed"


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
