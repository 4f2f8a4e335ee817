"""nas targets: the devices, one of them with all that is known of it, and files of the user."""

import argparse

from latency_models.target import Target, find_targets, list_targets, load_target
from latency_models.target_template import TEMPLATE
from nas.cli.output import say, show
from nas.errors import InvalidInput, UnknownName
from nas.report.describe import target_rows


def run(args: argparse.Namespace) -> None:
    """Print the devices, every value of one with its source, what a file means, or a file to start from."""
    if args.template:
        say(TEMPLATE, end="")
    elif args.file is not None:
        _check(args)
    else:
        whole, found = _asked(args.target)
        rows = target_rows(found)
        show(args, rows, f"nas.report.describe_tables:{'target_sources' if whole else 'target_table'}", rows)


def _asked(words: str | None) -> tuple[bool, list[Target]]:
    """Return the targets that a name, a file or search words ask for, and whether it is one of them, by name."""
    if words is None:
        return False, list(list_targets())
    try:
        return True, [load_target(words)]
    except UnknownName:
        if found := find_targets(words):
            return False, list(found)
        raise


def _check(args: argparse.Namespace) -> None:
    """Print what a target file means; `InvalidInput` in one line where it is none."""
    from nas.cli.tables.target_check import target_check  # which loads the reference networks

    if not args.file.endswith(".toml"):
        raise InvalidInput(f"--check takes a .toml file, got {args.file}; of a target by its name: nas targets NAME")
    target = load_target(args.file)
    checked = target_check(target, args.file)
    show(args, checked, "nas.cli.tables.target_check:check_table", target, checked)
