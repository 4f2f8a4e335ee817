"""nas targets: the devices, or one of them with all that is known of it."""

import argparse

from latency_models.target import list_targets, load_target
from nas.cli.output import show
from nas.report.describe import target_rows


def run(args: argparse.Namespace) -> None:
    """Print the devices, or every value of one with its source, and what its runtime does not run."""
    rows = target_rows(list_targets() if args.target is None else [load_target(args.target)])
    table = "target_table" if args.target is None else "target_sources"
    show(args, rows, f"nas.report.describe_tables:{table}", rows)
