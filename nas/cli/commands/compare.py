"""nas compare: networks side by side on any number of devices, as tables, a page, and plots."""

import argparse
from pathlib import Path

from nas.cli.console import console, show_whole
from nas.cli.models import targets_of
from nas.cli.output import print_json
from nas.compare.compare import compare, ridge_candidates
from nas.compare.files import to_json, write
from nas.compare.ridge_files import write_ridge_sweep
from nas.compare.table import tables
from nas.errors import InvalidInput
from nas.export.folders import atomic_folder
from nas.registry import DEFAULT_TARGET

DEFAULT_TARGETS = (DEFAULT_TARGET,)


def run(args: argparse.Namespace) -> None:
    """Print the comparison, and write it where a folder is given."""
    targets = args.targets or targets_of(args.items) or DEFAULT_TARGETS
    comparison = compare(args.items, targets, args.latency_model, energy=args.energy)
    candidates, without = ridge_candidates(comparison) if args.ridge_sweep else ([], [])
    if args.ridge_sweep and not candidates:
        raise InvalidInput(f"no accuracy is known of {', '.join(without)}; leave --ridge-sweep out")
    lines = [f"not in the ridge sweep, no accuracy known: {', '.join(without)}"] if without else []
    if args.out:
        with atomic_folder(Path(args.out)) as folder:
            paths = write(comparison, folder)
            paths += write_ridge_sweep(candidates, folder) if candidates else []
        lines += [f"wrote {Path(args.out, path.name)}" for path in paths]
    if args.json:
        print_json(to_json(comparison))
        return
    out = console()
    for table in tables(comparison):
        out.print(table)
    for note in comparison.notes:
        out.print(note, markup=False)
    show_whole(lines)
