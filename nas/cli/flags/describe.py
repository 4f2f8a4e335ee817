"""nas describe: its flags."""

import argparse

from nas.cli.argument_types import new_file, resolution
from nas.cli.flags.shared import SPEC_OR_RUN, add_device, add_json

DESCRIPTION = "Draw a network block by block, with what each block costs on a device."
EXAMPLE = "nas describe mobilenetv4-conv-s --target edgetpu"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    network = parser.add_argument_group("network")
    network.add_argument("spec", metavar="NAME|SPEC", help=SPEC_OR_RUN)
    network.add_argument(
        "--resolution",
        type=resolution,
        metavar="N|HxW",
        help="its input in px instead: 96, 96x128 (default: its own)",
    )
    device = parser.add_argument_group("device")
    add_device(device, stated="that of the run, else pixel6-cpu")
    device.add_argument(
        "--forest", action="append", default=[], metavar="FILE", help="also what a forest predicts; may be repeated"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--kernels", action="store_true", help="a row per kernel instead: bytes, bound, ms")
    output.add_argument("--out", type=new_file, metavar="FILE", help="also draw it into a new .svg, .png or .html")
    add_json(output)
