"""nas sensitivity: its flags."""

import argparse

from nas.cli.argument_types import count
from nas.cli.flags.shared import add_data_dir, add_json, add_ranges, add_spec

DESCRIPTION = """\
What each layer of a trained network loses in int8, one layer at a time, the one
that loses most first: which to keep in float32 with --keep-float."""
EXAMPLE = "nas sensitivity runs/trained --format onnx"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    network = parser.add_argument_group("network")
    add_spec(network)
    network.add_argument(
        "--weights", metavar="W", help="folder of a training, or a file of weights: .safetensors, .pth"
    )
    network.add_argument(
        "--format",
        default="tflite",
        metavar="F",
        help="whose int8 operators: tflite or onnx (default: tflite)",
    )
    data = parser.add_argument_group("images")
    add_ranges(data)
    data.add_argument(
        "--images", type=count, default=512, metavar="N", help="training images for the accuracies (default: 512)"
    )
    add_data_dir(data)
    output = parser.add_argument_group("output")
    output.add_argument("--top", type=count, metavar="N", help="the N layers that lose most alone (default: all)")
    add_json(output)
