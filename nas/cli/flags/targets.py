"""nas targets: its flags."""

import argparse

from nas.cli.flags.shared import add_json

DESCRIPTION = """\
List the devices that --target can name with the error of their latencies, those
that a word finds (hexagon, stm32, raspberry pi), or of one every value with its
source, and the ops and activations that its runtime does not run. A target of
your own is a .toml file: --template prints one to start from, --check says what
one means, and nas calibrate writes one from measurements."""
EXAMPLE = "nas targets hexagon"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    device = parser.add_argument_group("device")
    device.add_argument(
        "target", nargs="?", metavar="T|WORD", help="one device, or a .toml file of your own: all that is known; or "
        "words that several are found by",
    )  # fmt: skip
    device.add_argument(
        "--check", dest="file", metavar="FILE", help="parse a target file: what it means, and what it leaves open"
    )
    device.add_argument("--template", action="store_true", help="print a commented target file that --check accepts")
    add_json(parser.add_argument_group("output"))
