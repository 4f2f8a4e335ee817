"""What a command prints: lines, JSON under --json, or a rich table; rich is imported only where a table is shown."""

import argparse
import json
import os
import sys
from pkgutil import resolve_name
from typing import Any

from nas.cli.printable import in_one_line, printable
from nas.errors import InvalidInput


def say(text: str, end: str = "\n") -> None:
    """Print lines of text; control characters in it, those of names in files say, are written out."""
    sys.stdout.write(printable(text) + end)


def complain(message: str) -> None:
    """Print a message in one line to standard error, where that is open."""
    if sys.stderr is not None:
        sys.stderr.write(f"nas: {in_one_line(message)}\n")


def open_output() -> None:
    """Let every text be printed whatever the encoding of the terminal; `InvalidInput` where there is no output."""
    if sys.stdout is None:
        raise InvalidInput("standard output is closed; send it to a file, or to /dev/null")
    if hasattr(sys.stdout, "reconfigure"):  # those of tests may have no encoding
        sys.stdout.reconfigure(errors="replace")


def give_up_output() -> None:
    """Send what is still to be printed nowhere: the reader is gone, or there is no room for it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    say(json.dumps(value, indent=2, allow_nan=False))


def show(args: argparse.Namespace, value: Any, table: str, *shown: Any) -> None:
    """Print `value` as JSON under --json, else what the function at the address `table` makes of `shown`."""
    if args.json:
        print_json(value)
    else:
        resolve_name("nas.cli.console:console")().print(resolve_name(table)(*shown))
