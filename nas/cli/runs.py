"""nas runs and nas watch: which runs there are and how they stand, and one of them as it goes."""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from nas.cli.arguments import Commands, add_json
from nas.cli.listing import show

if TYPE_CHECKING:
    from rich.table import Table

    from nas.runs.listing import Run

SECONDS = 1.0  # between two looks at a run


def add_commands(commands: Commands) -> None:
    """Add the two commands."""
    runs = commands.add_parser("runs", help="list the runs below a folder with their states")
    runs.add_argument("folder", nargs="?", default="runs", metavar="DIR", help="(default: runs)")
    add_json(runs)
    runs.set_defaults(run=run_runs)
    watch = commands.add_parser("watch", help="show a run of another terminal as it goes, until it ends")
    watch.add_argument("folder", metavar="RUN", help="folder of the run")
    watch.add_argument("--once", action="store_true", help="print how it stands, and leave")
    watch.set_defaults(run=run_watch)


def run_runs(args: argparse.Namespace) -> None:
    """Print the runs."""
    from nas.runs.listing import runs_below

    found = runs_below(Path(args.folder))
    if args.json:
        show(args, [asdict(run) for run in found], None)
    elif not found:
        print(f"no runs below {args.folder}; start one with: nas search --out {args.folder}/NAME")
    else:
        show(args, found, runs_table)
        for run in found:
            if run.note:
                print(run.note)


def runs_table(runs: list["Run"]) -> "Table":
    """Return the runs as a rich table."""
    from rich.text import Text

    from nas.cli.live import aligned_table, latency_text

    table = aligned_table("runs", ("run", "kind", "state", "target", "preset", "at"), ("best latency", "best top-1"))
    for run in runs:
        latency = "-" if run.latency is None else latency_text(run.latency, run.latency_unit)
        words = (run.path, run.kind, run.state, run.target or "-", run.preset or "-", place(run))
        table.add_row(*map(Text, words), latency, "-" if run.top1 is None else f"{run.top1:.1%}")
    return table


def place(run: "Run") -> str:
    """Return how far a run is: "fine 120/240"."""
    if run.stage is None or run.step is None:
        return "-"
    return f"{run.stage} {run.step}" + (f"/{run.steps}" if run.steps else "")


def run_watch(args: argparse.Namespace) -> None:
    """Show the run until it ends; one that nobody works on is shown once."""
    from nas.errors import InvalidInput
    from nas.runs.listing import MARKS, read_run

    path = Path(args.folder)
    if not any((path / mark).exists() for mark in MARKS):
        raise InvalidInput(f"{path} is no folder of a run; list those there are with: nas runs DIR")
    try:
        last = watch(lambda: read_run(path), once=args.once)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"watching; the run goes on. See it again with: nas watch {path}") from stop
    print(ending(last))


def watch(look: Callable[[], "Run"], *, once: bool, sleep: Callable[[float], None] = time.sleep) -> "Run":
    """Show a run at every `look` until it is no longer running, and return it as it was then."""
    from nas.cli.live import LiveReporter, progress_text
    from nas.progress import Progress

    run = look()
    with LiveReporter() as shown:
        while run.state == "running" and not once:
            if run.stage is not None and run.step is not None:
                steps = run.steps or run.step
                event = Progress(
                    run.stage, run.step, steps, run.loss, run.top1, run.latency, run.latency_unit, run.entropy
                )
                shown.advance(run.stage, run.step, steps, progress_text(event))
            sleep(SECONDS)
            run = look()
    return run


def ending(run: "Run") -> str:
    """Return how a run stands in one line."""
    from nas.cli.live import latency_text

    parts = [f"{run.path}: {run.state}" + (f" ({run.holder})" if run.holder else ""), f"{run.kind}"]
    parts += [run.note] if run.note else []
    parts += [f"at {place(run)}"] if run.stage else []
    parts += [latency_text(run.latency, run.latency_unit)] if run.latency is not None else []
    parts += [f"top-1 {run.top1:.1%}"] if run.top1 is not None else []
    if run.state == "interrupted":
        again = "the command that began it goes on" if run.kind == "training" else f"go on with: nas resume {run.path}"
        parts.append(again)
    return ", ".join(parts)
