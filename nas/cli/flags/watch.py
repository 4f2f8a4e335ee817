"""nas watch: its flags."""

import argparse

DESCRIPTION = "Show a run of another terminal as it goes, until it ends."
EXAMPLE = "nas watch runs/uib-pixel6-cpu-digits-quick-s0"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    flags = parser.add_argument_group("what to watch")
    flags.add_argument("folder", metavar="RUN", help="folder of the run")
    flags.add_argument("--once", action="store_true", help="print how it stands, and leave")
