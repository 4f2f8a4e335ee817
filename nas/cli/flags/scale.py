"""nas scale: its flags."""

import argparse

from nas.cli.argument_types import finite, new_file, positive
from nas.cli.flags.shared import add_device, add_json, add_spec
from nas.cli.units import milliseconds
from nas.errors import InvalidInput

DESCRIPTION = """\
Scale a network by compound scaling (EfficientNet): for a coefficient phi, depth
grows by 1.2^phi, width by 1.1^phi and the input by 1.15^phi, so that MACs grow
by about 2^phi. A negative phi makes it smaller. Or name the latency that it may
have: phi is then the largest that keeps it."""
EXAMPLE = "nas scale mobilenetv4-conv-s --phi 2"
GROWTHS = (("depth", 1.2, "blocks in a stage"), ("width", 1.1, "channels"), ("resolution", 1.15, "pixels of a side"))


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    network = parser.add_argument_group("network")
    add_spec(network)
    size = parser.add_argument_group("how far")
    size.add_argument("--phi", type=finite, metavar="X", help="compound coefficient, -10 to 10; 0: as it is")
    size.add_argument(
        "--latency", "--latency-ms", dest="latency_ms", type=milliseconds, metavar="X",
        help="most latency allowed on the device, 4ms or 250us; phi in steps of 0.01",
    )  # fmt: skip
    for name, default, what in GROWTHS:
        words = f"growth of the {what} per phi, 1 to 4 (default: {default})"
        size.add_argument(f"--{name}", type=positive, default=default, metavar="X", help=words)
    device = parser.add_argument_group("device")
    add_device(device, stated="that of the run, else pixel6-cpu")
    output = parser.add_argument_group("output")
    output.add_argument("-o", "--out", type=new_file, metavar="FILE", help="write the scaled network into a new spec")
    add_json(output)
    parser.set_defaults(check=check)


def check(args: argparse.Namespace) -> None:
    """Raise `InvalidInput` where neither a coefficient nor a latency says how far to scale."""
    if args.phi is None and args.latency_ms is None:
        raise InvalidInput("say how far to scale: --phi 2, or --latency 4ms; see nas scale --help")
