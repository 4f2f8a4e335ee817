"""nas zoo: the reference networks."""

import argparse

from nas.cli.output import show
from nas.report.describe import audio_zoo_rows, zoo_rows
from nas.zoo import ZOO


def run(args: argparse.Namespace) -> None:
    """Print the reference networks."""
    rows = [*zoo_rows(ZOO), *audio_zoo_rows()]
    show(args, rows, "nas.report.describe_tables:zoo_table", rows)
