"""nas finalists: its flags."""

import argparse

from nas.cli.argument_types import count
from nas.cli.flags.shared import add_accept_changes, add_code_of_run, add_moved_data, add_track, add_training
from nas.cli.folders import run_folder
from nas.records.experiment import read_experiment
from nas.records.named_code import check_repeated

DESCRIPTION = """\
Train the best networks of a search's front alone, as proxies, and stop the weak
ones early. Started again with the same flags, it goes on where it was stopped."""
EXAMPLE = "nas finalists runs/uib-pixel6-cpu-digits-quick-s0 --top 8 --epochs 30"

SCHEDULERS = ("halving", "asha", "median", "decay")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    subject = parser.add_argument_group("what to train")
    subject.add_argument("folder", metavar="RUN", help="folder of the run")
    subject.add_argument("--top", type=count, default=8, metavar="K", help="how many of its front (default: 8)")
    add_moved_data(subject)
    add_accept_changes(subject)
    add_code_of_run(parser.add_argument_group("code of yours that the run names"), "space", "target")
    budget = parser.add_argument_group("budget")
    add_training(budget, epochs="full length ")
    budget.add_argument(
        "--scheduler", default="halving", metavar="S", help="halving, asha, median or decay (default: halving)"
    )
    place = parser.add_argument_group("where it runs")
    place.add_argument("--workers", type=count, metavar="N", help="Ray workers (default: this process, no Ray)")
    place.add_argument("--ray-address", metavar="A", help="of a Ray cluster that shares this storage")
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="DIR", help="new folder, or one to go on with (default: RUN-finalists)")
    add_track(output)
    parser.set_defaults(check=check)


def check(args: argparse.Namespace) -> None:
    """Refuse what is no folder of a run, and settings that are not its own."""
    check_repeated(read_experiment(run_folder(args.folder)), vars(args))
