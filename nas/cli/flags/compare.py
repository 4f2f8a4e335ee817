"""nas compare: its flags, and which of them go together."""

import argparse
from pathlib import Path

from nas.cli.argument_types import names
from nas.cli.flags.shared import add_json, add_latency_model
from nas.cli.folders import check_new_folder

DESCRIPTION = """\
Put networks side by side on any number of devices: accuracy, latency, regret
and hypervolume, as tables, a page and plots."""
EXAMPLE = "nas compare mobilenetv4-conv-s mobilenetv2 --targets edgetpu,pixel6-cpu"
ITEM = (
    "folder of a run (or RUN/TARGET) or of a training, JSON spec, reference network (nas zoo; NAME@WIDTH,PXpx too), "
    "or zoo for all references of a phone's size"
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    parser.add_argument_group("what to compare").add_argument("items", nargs="+", metavar="RUN|SPEC", help=ITEM)
    devices = parser.add_argument_group("devices")
    devices.add_argument(
        "--targets", type=names, metavar="A,B,C", help="devices, or all (default: those of the runs, else pixel6-cpu)"
    )
    add_latency_model(devices)
    devices.add_argument("--energy", action="store_true", help="also mJ, on devices calibrated for energy")
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="DIR", help="new folder for the page compare.html, tables and plots")
    output.add_argument(
        "--ridge-sweep", action="store_true", help="also the fronts at ridge points 0 to 500 as table and plot"
    )
    add_json(output)
    parser.set_defaults(check=check)


def check(args: argparse.Namespace) -> None:
    """Refuse a folder that cannot be had, and targets of no known name."""
    if args.out:
        check_new_folder(Path(args.out))
    if args.targets not in (None, ("all",)):
        from latency_models.target import load_target  # imports numpy, which --help does without

        for name in args.targets:
            load_target(name)
