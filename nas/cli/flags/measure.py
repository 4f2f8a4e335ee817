"""nas measure: its flags."""

import argparse

from nas.cli.argument_types import count, new_file
from nas.cli.flags.shared import SPEC_OR_RUN, add_code_of_run
from nas.cli.folders import run_folder
from nas.errors import InvalidInput
from nas.records.experiment import read_experiment
from nas.records.named_code import check_repeated

DESCRIPTION = """\
Measure the latency of networks on this host, as a CSV that nas calibrate reads.
Started again with the same flags, it measures what the CSV does not hold yet."""
EXAMPLE = "nas measure mobilenetv2 mobilenetv4-conv-s --runtime onnxruntime --out measured.csv"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    subject = parser.add_argument_group("what to measure")
    subject.add_argument("specs", nargs="+", metavar="SPEC", help=f"{SPEC_OR_RUN}, or CSV with a column arch of these")
    subject.add_argument(
        "--top", type=count, metavar="K",
        help="of one finished run its last candidates, beside their predictions: the answer and up to K - 1 others",
    )  # fmt: skip
    add_code_of_run(parser.add_argument_group("code of yours that the run names"), "space", "target")
    place = parser.add_argument_group("where it runs")
    place.add_argument(
        "--runtime", metavar="R",
        help="onnxruntime, litert or xla, float32, or onnxruntime-int8 (default: onnxruntime; with --top that of the "
        "target where it was calibrated with one)",
    )  # fmt: skip
    place.add_argument("--threads", type=count, metavar="N", help="(default: 1; with --top as the runtime)")
    timing = parser.add_argument_group("how it is measured")
    timing.add_argument("--batch", type=count, default=1, metavar="N", help="images per run (default: 1)")
    timing.add_argument("--rounds", type=count, default=40, metavar="N", help="turns of each network (default: 40)")
    timing.add_argument("--repeats", type=count, default=5, metavar="N", help="timed runs per turn (default: 5)")
    timing.add_argument(
        "--group", type=count, default=32, metavar="N", help="networks in memory at once, taking turns (default: 32)"
    )
    parser.add_argument_group("output").add_argument(
        "-o", "--out", type=new_file, metavar="FILE",
        help="CSV, new or to go on with (default: measurements.csv; with --top measured-RUNTIME.csv of the run)",
    )  # fmt: skip
    parser.set_defaults(check=check)


def check(args: argparse.Namespace) -> None:
    """Refuse --top of what is no single run, and settings that are not the run's own."""
    if args.top is None:
        return
    if len(args.specs) > 1:
        raise InvalidInput(f"--top K is of one run, got {len(args.specs)} networks; leave --top out, or name one run")
    check_repeated(read_experiment(run_folder(args.specs[0])), vars(args))
