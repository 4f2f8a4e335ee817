"""nas resume: an interrupted search goes on under a live display."""

import argparse
import sys

from nas.cli.folders import is_multi_target, resumable, run_folder
from nas.cli.found import show_multi_target, show_result
from nas.cli.live import LiveReporter
from nas.cli.tracking import trackers
from nas.errors import InvalidInput
from nas.runs import joint_search, multi_target
from nas.runs.settings import SearchConfig
from nas.runs.workers import alone_on, open_executor, open_trainers


def run(args: argparse.Namespace) -> None:
    """Go on with a search, then print what was found."""
    folder, shown_on = run_folder(args.folder), sys.stderr if args.json else None
    if is_multi_target(folder):
        workers, trainers = open_executor(args.workers, args.ray_address), alone_on(args.workers, args.ray_address)
        with resumable(folder), LiveReporter(shown_on, folder=folder, trackers=trackers(args, folder)) as reporter:
            found = multi_target.resume(
                folder, reporter, workers=workers, trainers=trainers, more=args.budget or 0, data=args.data,
                accept_changes=args.accept_changes,
            )  # fmt: skip
        show_multi_target(args, found, folder)
        return
    if args.budget:
        raise InvalidInput(f"{folder} is a joint search: --budget goes with runs of another --algorithm")
    config = SearchConfig.from_dict(joint_search.stored_run(folder).get("settings"))
    by = open_trainers(args.workers, args.ray_address, config)
    with resumable(folder), LiveReporter(shown_on, folder=folder, trackers=trackers(args, folder)) as reporter:
        result = joint_search.resume(folder, reporter, trainers=by, data=args.data, accept_changes=args.accept_changes)
    show_result(args, result, folder)
