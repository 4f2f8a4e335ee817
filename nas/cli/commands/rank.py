"""nas rank: evidence for what ranks networks on the user's images, under a live display."""

import argparse
import shlex
import sys
from pathlib import Path

from nas.cli.commands.search import search_config
from nas.cli.console import show_whole
from nas.cli.flags.rank import folder, search_flags
from nas.cli.folders import holds_run
from nas.cli.live import LiveReporter
from nas.cli.planning import show_plan
from nas.cli.signals import interruptible
from nas.cli.tables.ranking import show_ranking
from nas.cli.tracking import trackers
from nas.errors import InvalidInput
from nas.files import CannotWrite
from nas.records.locks import locked
from nas.runs.ranking import BEST, PLOT, RESULT, TABLE, Ranking, RankingConfig, make_ranking, rank, ranking_of_run
from nas.runs.settings import SearchConfig
from nas.runs.workers import open_trainees

FILES = (RESULT, TABLE, f"{PLOT}.png", f"{PLOT}.svg", BEST, "trials")
GOES_ON = "the same command goes on from the last checkpoints"


def run(args: argparse.Namespace) -> None:
    """Train what is missing, then print the evidence."""
    out, ranking = folder(args), _ranking(args)
    if args.plan:
        show_plan(args, ranking.description(), out, FILES)
        return
    by, tracked = open_trainees(args.workers, args.ray_address), trackers(args, out)
    out.mkdir(parents=True, exist_ok=True)
    reporter = LiveReporter(sys.stderr if args.json else None, folder=out, trackers=tracked)
    try:
        with interruptible(lambda: GOES_ON), locked(out), reporter:
            reporter.plan(ranking.description())
            notes = rank(ranking, out, reporter, by)
    except CannotWrite as error:
        raise InvalidInput(f"{error}; then {GOES_ON}") from error
    show_ranking(args, out)
    if not args.json:
        show_whole([*(f"failed: {note}" for note in notes), *_wrote(args, out)])


def _ranking(args: argparse.Namespace) -> Ranking:
    """Return the ranking that the flags ask for."""
    if holds_run(args.subject):
        return ranking_of_run(Path(args.subject), lambda settings: _config(args, settings), args.data)
    return make_ranking(_config(args, search_config(search_flags(args))))


def _config(args: argparse.Namespace, search: SearchConfig) -> RankingConfig:
    """Return how much is trained, of the networks of a search."""
    amount = args.networks, args.seeds, args.epochs, args.batch_size, args.supernet_steps
    return RankingConfig(search, *amount)


def _wrote(args: argparse.Namespace, out: Path) -> list[str]:
    """Return lines on the files, and on what can be done with them."""
    on = ("--target", args.target) if args.target else ()
    return [
        f"wrote {out}/{RESULT}, {TABLE}, {PLOT}.svg, {PLOT}.png",
        f"wrote {out}/{BEST}: the network of the highest mean accuracy",
        f"next: {shlex.join(('nas', 'show', str(out)))}",
        f"next: {shlex.join(('nas', 'describe', str(out / BEST), *on))}",
    ]
