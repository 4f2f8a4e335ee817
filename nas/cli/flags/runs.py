"""nas runs: its flags."""

import argparse

from nas.cli.flags.shared import add_json

DESCRIPTION = "List the runs below a folder: their state, how far they are, the best so far."
EXAMPLE = "nas runs runs --json"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    parser.add_argument_group("what to list").add_argument(
        "folder", nargs="?", default="runs", metavar="DIR", help="folder to look through (default: runs)"
    )
    add_json(parser.add_argument_group("output"))
