"""nas compare: networks side by side on any number of devices, as tables, a page, and plots."""

import argparse
import json
from pathlib import Path

from nas.cli.arguments import Commands, add_json, names
from nas.cli.specs import check_new_folder
from nas.errors import InvalidInput

ITEM = (
    "folder of a run (or RUN/TARGET) or of a training, JSON spec, reference network (nas zoo; NAME@WIDTH,PXpx too), "
    "or zoo for all references of a phone's size"
)


def add_commands(commands: Commands) -> None:
    """Add the command."""
    compare = commands.add_parser("compare", help="networks side by side: accuracy against latency, per device")
    compare.add_argument("items", nargs="+", metavar="RUN|SPEC", help=ITEM)
    compare.add_argument(
        "--targets", type=names, default=("edgetpu",), metavar="A,B,C", help="devices, or all (default: edgetpu)"
    )
    compare.add_argument("--latency-model", default="default", metavar="M", help="default, or plain-roofline")
    compare.add_argument("--energy", action="store_true", help="also mJ, on devices calibrated for energy")
    compare.add_argument("--out", metavar="DIR", help="new folder for the page compare.html, tables and plots")
    compare.add_argument(
        "--ridge-sweep", action="store_true", help="also the fronts at ridge points 0 to 500 as table and image"
    )
    add_json(compare)
    compare.set_defaults(run=run_compare)


def run_compare(args: argparse.Namespace) -> None:
    """Print the comparison, and write it where a folder is given."""
    if args.ridge_sweep and not args.out:
        raise InvalidInput("--ridge-sweep writes a table and a image; name a new folder for them with --out")
    folder = check_new_folder(Path(args.out)) if args.out else None
    from nas.cli.live import console
    from nas.compare.compare import compare, ridge_candidates
    from nas.compare.files import to_json, write
    from nas.compare.ridge_files import write_ridge_sweep
    from nas.compare.table import tables
    from nas.files import new_folder

    comparison = compare(args.items, args.targets, args.latency_model, energy=args.energy)
    candidates, without = ridge_candidates(comparison) if args.ridge_sweep else ([], [])
    if args.ridge_sweep and not candidates:
        raise InvalidInput(f"no accuracy is known of {', '.join(without)}; leave --ridge-sweep out")
    lines = [f"not in the ridge sweep, no accuracy known: {', '.join(without)}"] if without else []
    if folder:
        paths = write(comparison, new_folder(folder))
        paths += write_ridge_sweep(candidates, folder) if candidates else []
        lines += [f"wrote {path}" for path in paths]
    if args.json:
        print(json.dumps(to_json(comparison), indent=2, allow_nan=False))
        return
    out = console()
    for table in tables(comparison):
        out.print(table)
    for line in (*comparison.notes, *lines):
        out.print(line, markup=False)
