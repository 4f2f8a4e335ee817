"""What a command prints: JSON under --json, else a rich table; rich is imported only where a table is shown."""

import argparse
import json
from pkgutil import resolve_name
from typing import Any


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, allow_nan=False))


def show(args: argparse.Namespace, value: Any, table: str, *shown: Any) -> None:
    """Print `value` as JSON under --json, else what the function at the address `table` makes of `shown`."""
    if args.json:
        print_json(value)
    else:
        resolve_name("nas.cli.console:console")().print(resolve_name(table)(*shown))
