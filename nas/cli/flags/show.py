"""nas show: its flags."""

import argparse
import os

from nas.cli.flags.shared import add_json
from nas.errors import InvalidInput

DESCRIPTION = """\
Print again what a finished search, training, re-training of candidates or
comparison found, and the commands that go on from there."""
EXAMPLE = "nas show runs/uib-pixel6-cpu-digits-quick-s0"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    parser.add_argument_group("what to show").add_argument("folder", metavar="RUN", help="folder with results")
    add_json(parser.add_argument_group("output"))
    parser.set_defaults(check=check)


def check(args: argparse.Namespace) -> None:
    """Refuse what is no folder."""
    if not os.path.isdir(args.folder):
        raise InvalidInput(f"there is no folder {args.folder}; nas runs DIR lists the runs below a folder")
