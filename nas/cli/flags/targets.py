"""nas targets: its flags."""

import argparse

from nas.cli.flags.shared import add_json

DESCRIPTION = """\
List the devices that --target can name, with what is known of each. A target of
your own is a .toml file, which nas calibrate writes."""
EXAMPLE = "nas targets --json"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flag."""
    add_json(parser.add_argument_group("output"))
