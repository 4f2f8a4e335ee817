"""nas targets: the devices."""

import argparse

from latency_models.target import list_targets
from nas.cli.output import show
from nas.report.describe import target_rows


def run(args: argparse.Namespace) -> None:
    """Print the devices."""
    rows = target_rows(list_targets())
    show(args, rows, "nas.report.describe_tables:target_table", rows)
