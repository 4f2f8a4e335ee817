"""nas zoo: its flags."""

import argparse

from nas.cli.flags.shared import add_json

DESCRIPTION = """\
List the reference networks. Commands that take a name also take NAME@WIDTH,
NAME@PXpx and NAME@WIDTH,PXpx: mobilenetv2@0.75,192px is MobileNetV2 with 0.75
of its channels for images of 192 pixels. Width multipliers have MobileNetV1
to V3, Multi, EdgeTPU and MnasNet."""
EXAMPLE = "nas zoo --json"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flag."""
    add_json(parser.add_argument_group("output"))
