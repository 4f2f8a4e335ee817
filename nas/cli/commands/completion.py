"""nas completion: a script that completes the command line in a shell."""

import argparse
from pkgutil import resolve_name

from nas.cli.output import say

SCRIPT = "nas.cli.completion:script"  # by its address: it is written from the parser, which knows the commands


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    say(resolve_name(SCRIPT)(args.shell), end="")
