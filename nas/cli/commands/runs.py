"""nas runs: which runs there are and how they stand."""

import argparse
from dataclasses import asdict
from pathlib import Path

from nas.cli.output import say, show
from nas.runs.listing import runs_below


def run(args: argparse.Namespace) -> None:
    """Print the runs."""
    found = runs_below(Path(args.folder))
    if not found and not args.json:
        say(f"no runs below {args.folder}; start one with: nas search --out {args.folder}/NAME")
        return
    show(args, [asdict(run) for run in found], "nas.cli.tables.runs:runs_table", found)
    if not args.json:
        for run in found:
            if run.note:
                say(run.note)
