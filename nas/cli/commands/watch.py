"""nas watch: a run of another terminal as it goes."""

import argparse
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from nas.cli.live import LiveReporter, progress_text, read_status
from nas.cli.output import say
from nas.cli.signals import interruptible
from nas.cli.tables.runs import ending
from nas.errors import InvalidInput
from nas.progress import Progress
from nas.runs.listing import MARKS, Run, read_run

SECONDS = 1.0  # between two looks at a run


def run(args: argparse.Namespace) -> None:
    """Show the run until it ends; one that nobody works on is shown once."""
    path = Path(args.folder)
    if not any((path / mark).exists() for mark in MARKS):
        raise InvalidInput(f"{path} is no folder of a run; list those there are with: nas runs DIR")
    with interruptible(lambda: f"watching; the run goes on. See it again with: nas watch {path}"):
        last = watch(lambda: read_run(path), once=args.once)
    say(ending(last))
    if last.state == "finished":
        say(f"next: {shlex.join(('nas', 'show', str(path)))}")


def watch(look: Callable[[], Run], *, once: bool, sleep: Callable[[float], None] = time.sleep) -> Run:
    """Show a run at every `look` until it is no longer running, and return it as it was then."""
    run = look()
    with LiveReporter() as shown:
        while run.state == "running" and not once:
            if status := read_status(Path(run.path)):
                shown.show(status)
            elif run.stage is not None and run.step is not None:
                steps = run.steps or run.step
                event = Progress(
                    run.stage, run.step, steps, run.loss, run.top1, run.latency, run.latency_unit, run.entropy,
                    metric=run.metric,
                )  # fmt: skip
                shown.advance(run.stage, run.step, steps, progress_text(event))
            sleep(SECONDS)
            run = look()
    return run
