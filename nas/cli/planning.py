"""--plan: what a command would do, printed instead of done; nothing is written."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from nas.cli.output import print_json, say

TIMES = {  # preset -> rough duration of a joint search of `uib` on the embedded digits, on 2 CPU cores: docs/results.md
    "smoke": "some 20 seconds", "quick": "some minutes", "standard": "about half an hour",
}  # fmt: skip


def show_plan(args: argparse.Namespace, lines: Sequence[str], out: Path, files: Iterable[str]) -> None:
    """Print what would be done, a line each, and the files that would be written into `out`; under --json as JSON."""
    names = list(files)
    if args.json:
        print_json({"command": args.command, "plan": list(lines), "folder": str(out), "files": names})
        return
    where = f"{out}: {', '.join(names)}" if names else str(out)
    say("\n".join((f"nas {args.command} would do this; nothing was done:", *lines, f"would write {where}")))


def rough_time(preset: str) -> list[str]:
    """Return a line on how long a search of the preset takes, none where that is not known."""
    known = TIMES.get(preset)
    return [f"rough time: {known} on 2 CPU cores with small images or short sounds"] if known else []
