"""nas completion: a script that completes the command line in a shell."""

import argparse
from pkgutil import resolve_name

SCRIPT = "nas.cli.completion:script"  # by its address: it is written from the parser, which knows the commands


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    print(resolve_name(SCRIPT)(args.shell), end="")
