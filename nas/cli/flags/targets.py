"""nas targets: its flags."""

import argparse

from nas.cli.flags.shared import add_json

DESCRIPTION = """\
List the devices that --target can name, or of one every value with its source,
and the ops and activations that its runtime does not run. A target of your own
is a .toml file, which nas calibrate writes."""
EXAMPLE = "nas targets pixel4-dsp"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    device = parser.add_argument_group("device")
    device.add_argument(
        "target", nargs="?", metavar="T", help="one device, or a .toml file of your own: all that is known"
    )
    add_json(parser.add_argument_group("output"))
