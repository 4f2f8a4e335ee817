"""nas spaces: its flags."""

import argparse

from nas.cli.argument_types import resolution
from nas.cli.flags.shared import IMAGENET_PX, add_device, add_json

DESCRIPTION = """\
List the search spaces with the number of their architectures, and with the
range of latencies that they reach where a device is named."""
EXAMPLE = "nas spaces --target edgetpu"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    device = parser.add_argument_group("device and input")
    add_device(device, default=None)
    device.add_argument(
        "--resolution", type=resolution, default=IMAGENET_PX, metavar="N|HxW",
        help=f"input of the target networks in px (default: {IMAGENET_PX})",
    )  # fmt: skip
    add_json(parser.add_argument_group("output"))
