"""nas export: its flags."""

import argparse

from nas.cli.argument_types import count, new_file
from nas.cli.flags.shared import add_data_dir, add_quantisation, add_spec

DESCRIPTION = "Write a network as a file for use elsewhere, and check it by running it."
EXAMPLE = "nas export mobilenetv4-conv-s --format json --out conv-s.json"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    network = parser.add_argument_group("what to export")
    add_spec(network)
    network.add_argument(
        "--weights", metavar="W", help="folder of a training, or a file of weights: .safetensors, .pth"
    )
    network.add_argument(
        "--random-weights", action="store_true", help="of a run whose network was not trained: export it nevertheless"
    )
    network.add_argument("--measured", metavar="CSV", help="latency of the network, by nas measure, for its model card")
    int8 = parser.add_argument_group("quantisation")
    add_quantisation(int8)
    add_data_dir(int8)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--format", default="json", metavar="F",
        help="json: the spec; flax: code and weights; stablehlo; onnx; tflite; timm: block strings and weights",
    )  # fmt: skip
    output.add_argument(
        "--input", default="float32", metavar="TYPE",
        help="of the images: float32, normalised, or uint8, normalised by the file; NHWC then (default: float32)",
    )  # fmt: skip
    output.add_argument(
        "--opset", type=count, metavar="N", help="of onnx (default: the lowest that its operators need, at least 13)"
    )
    output.add_argument(
        "-o", "--out", type=new_file, metavar="PATH", help="new file or folder (default: NAME.FORMAT or NAME-flax)"
    )
