"""nas measure: its flags."""

import argparse

from nas.cli.argument_types import count, new_file
from nas.cli.flags.shared import SPEC_OR_RUN

DESCRIPTION = """\
Measure the latency of networks on this host, as a CSV that nas calibrate reads.
Started again with the same flags, it measures what the CSV does not hold yet."""
EXAMPLE = "nas measure mobilenetv2 mobilenetv4-conv-s --runtime onnxruntime --out measured.csv"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    parser.add_argument_group("what to measure").add_argument(
        "specs", nargs="+", metavar="SPEC", help=f"{SPEC_OR_RUN}, or CSV with a column arch of these"
    )
    place = parser.add_argument_group("where it runs")
    place.add_argument(
        "--runtime", default="onnxruntime", metavar="R",
        help="onnxruntime, litert or xla, float32, or onnxruntime-int8 (default: onnxruntime)",
    )  # fmt: skip
    place.add_argument("--threads", type=count, default=1, metavar="N", help="(default: 1)")
    timing = parser.add_argument_group("how it is measured")
    timing.add_argument("--batch", type=count, default=1, metavar="N", help="images per run (default: 1)")
    timing.add_argument("--rounds", type=count, default=40, metavar="N", help="turns of each network (default: 40)")
    timing.add_argument("--repeats", type=count, default=5, metavar="N", help="timed runs per turn (default: 5)")
    timing.add_argument(
        "--group", type=count, default=32, metavar="N", help="networks in memory at once, taking turns (default: 32)"
    )
    parser.add_argument_group("output").add_argument(
        "-o", "--out", default="measurements.csv", type=new_file, metavar="FILE",
        help="CSV, new or to go on with (default: measurements.csv)",
    )  # fmt: skip
