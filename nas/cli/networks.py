"""nas export and nas compare: what is done with networks that a search found or that anyone wrote."""

import argparse
from pathlib import Path

from nas.cli.arguments import Commands, names
from nas.cli.exporting import add_command as add_export
from nas.cli.specs import SPEC_OR_RUN, check_new_folder
from nas.errors import InvalidInput


def add_commands(commands: Commands) -> None:
    """Add the two commands."""
    add_export(commands)
    compare = commands.add_parser("compare", help="networks side by side: accuracy against latency, per device")
    compare.add_argument("items", nargs="+", metavar="RUN|SPEC", help=SPEC_OR_RUN)
    compare.add_argument(
        "--targets", type=names, default=("edgetpu",), metavar="A,B,C", help="devices (default: edgetpu)"
    )
    compare.add_argument("--latency-model", default="default", metavar="M", help="default, or plain-roofline")
    compare.add_argument("--out", metavar="DIR", help="new folder for tables and a picture")
    compare.add_argument(
        "--ridge-sweep", action="store_true", help="also the fronts at ridge points from 0 to 500, into --out"
    )
    compare.set_defaults(run=run_compare)


def run_compare(args: argparse.Namespace) -> None:
    """Print the comparison, and write it where a folder is given."""
    from nas import ridge_sweep
    from nas.cli.live import console
    from nas.compare import compare, ridge_candidates, table, write
    from nas.files import new_folder

    if args.ridge_sweep and not args.out:
        raise InvalidInput("--ridge-sweep writes a table and a picture; name a new folder for them with --out")
    folder = check_new_folder(Path(args.out)) if args.out else None
    comparison = compare(args.items, args.targets, args.latency_model)
    out = console()
    out.print(table(comparison))
    for note in comparison.notes:
        out.print(note, markup=False)
    if folder:
        paths = write(comparison, new_folder(folder))
        if args.ridge_sweep:
            candidates, without = ridge_candidates(comparison)
            paths += ridge_sweep.write(candidates, folder)
            if without:
                out.print(f"not in the ridge sweep, no accuracy known: {', '.join(without)}", markup=False)
        for path in paths:
            out.print(f"wrote {path}", markup=False)
