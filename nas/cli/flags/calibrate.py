"""nas calibrate: its flags, which of them go together, and which of its three tasks they ask for."""

import argparse
from pathlib import Path

from nas.cli.argument_types import count, new_file, resolution, seed
from nas.cli.flags.shared import IMAGENET_PX, Container, add_json
from nas.cli.units import milliseconds
from nas.errors import InvalidInput
from nas.files import read_bytes

DESCRIPTION = """\
Fit a target of your own, or a random forest, to measured latencies; with --add,
fit one anew with further measurements. With --propose, write networks that are
worth measuring instead."""
EXAMPLE = "nas calibrate measured.csv --name my-phone --like pixel6-cpu"
TO_MEASURE = "to-measure"  # the folder that proposals go to
TARGET_SUFFIX = ".toml"
FOREST_SUFFIX = ".forest.json"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    _add_fit(parser.add_argument_group("what to fit"))
    proposals = parser.add_argument_group("what to measure")
    proposals.add_argument("--propose", type=count, metavar="N", help="write N networks worth measuring instead")
    proposals.add_argument(
        "--latency-ms", type=milliseconds, metavar="X", help="so that latencies near X are known best (default: all)"
    )
    proposals.add_argument("--space", metavar="S", help="space to propose from (default: uib)")
    proposals.add_argument(
        "--resolution", type=resolution, metavar="N|HxW", help=f"input of proposals in px (default: {IMAGENET_PX})"
    )
    proposals.add_argument("--seed", type=seed, metavar="S", help="of proposals (default: 0)")
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o", "--out", type=new_file, metavar="PATH", help=f"new file (default: NAME.toml), or folder ({TO_MEASURE})"
    )
    output.add_argument("--force", action="store_true", help="write a fit that is no better than chance too")
    add_json(output)
    parser.set_defaults(check=check)


def _add_fit(flags: Container) -> None:
    flags.add_argument(
        "measurements", nargs="?", metavar="MEASUREMENTS.csv",
        help="columns arch (spec beside the file, or a reference network) and latency_ms; optional batch, energy_mj, "
        "runtime, threads, machine",
    )  # fmt: skip
    flags.add_argument(
        "--add", action="append", default=[], metavar="CSV",
        help="further measurements, for a new target fitted to these and all that --target was fitted on; with "
        "--propose: what is measured already; may be repeated",
    )  # fmt: skip
    flags.add_argument("--target", metavar="T", help="calibrated target that --add adds to, or --propose is for")
    flags.add_argument("--name", metavar="N", help="name of the new target (with --add: T-2)")
    flags.add_argument("--like", metavar="T", help="target that gives byte widths, free kinds and a first guess")
    flags.add_argument(
        "--dtype", metavar="D",
        help="int8, fp16 or fp32 (default: that of --like, or in which the runtime of the table computes, else fp32)",
    )  # fmt: skip
    flags.add_argument(
        "--model", choices=("roofline", "forest"), default="roofline",
        help="forest: a random forest in NAME.forest.json, from 20 networks up (default: roofline, a target)",
    )  # fmt: skip
    flags.add_argument("--of", choices=("latency", "energy"), help="what a forest predicts (default: latency)")


def check(args: argparse.Namespace) -> None:
    """Choose what runs, a fit, a forest or proposals, and refuse what can be refused before scipy is imported."""
    if args.propose is not None:
        args.run = "nas.cli.commands.calibrate_proposals:run"
        return
    if args.measurements is None and not args.add:
        raise InvalidInput("name a CSV file of measurements, or give --propose N for networks worth measuring")
    from nas.cli.new_target import like_and_dtype, name_of_next, new_file  # imports numpy, which --help does without

    if args.model == "forest":
        args.run = "nas.cli.commands.calibrate_forest:run"
        new_file(args, FOREST_SUFFIX, "forest")
    else:
        if args.add and args.name is None and args.out is None:
            args.out = str(name_of_next(args.target))
        new_file(args, TARGET_SUFFIX, "target")
        like_and_dtype(args)
    for path in args.add or [args.measurements]:
        read_bytes(Path(path))
