"""nas resume: its flags."""

import argparse

from nas.cli.argument_types import additional
from nas.cli.flags.shared import (
    add_accept_changes,
    add_code_of_run,
    add_json,
    add_moved_data,
    add_search_workers,
    add_track,
)
from nas.cli.folders import run_folder
from nas.records.experiment import read_experiment
from nas.records.named_code import check_repeated

DESCRIPTION = """\
Go on with a search that was stopped, from its journal and checkpoints; the
result is the same as without the stop."""
EXAMPLE = "nas resume runs/uib-pixel6-cpu-digits-quick-s0"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    subject = parser.add_argument_group("what to resume")
    subject.add_argument("folder", metavar="RUN", help="folder of the run")
    add_moved_data(subject)
    add_accept_changes(subject)
    add_code_of_run(parser.add_argument_group("code of yours that the run names"))
    parser.add_argument_group("budget").add_argument(
        "--budget", type=additional, metavar="+N", help="extend a finished run by N trials per target"
    )
    add_search_workers(parser.add_argument_group("where it runs"))
    output = parser.add_argument_group("output")
    add_track(output)
    add_json(output)
    parser.set_defaults(check=check)


def check(args: argparse.Namespace) -> None:
    """Refuse what is no folder of a run, and settings that are not its own."""
    check_repeated(read_experiment(run_folder(args.folder)), vars(args))
