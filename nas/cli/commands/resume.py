"""nas resume: an interrupted search goes on under a live display."""

import argparse

from nas.cli.console import console
from nas.cli.folders import is_multi_target, resumable, run_folder
from nas.cli.live import LiveReporter
from nas.cli.tables.search_result import print_multi_target, summary
from nas.errors import InvalidInput
from nas.runs import joint_search, multi_target
from nas.runs.settings import SearchConfig
from nas.runs.workers import open_executor, open_trainers


def run(args: argparse.Namespace) -> None:
    """Go on with a search, then print what was found."""
    folder = run_folder(args.folder)
    if is_multi_target(folder):
        workers = open_executor(args.workers, args.ray_address)
        with resumable(folder), LiveReporter() as reporter:
            found = multi_target.resume(folder, reporter, workers=workers, more=args.budget or 0)
        print_multi_target(found, folder, console())
        return
    if args.budget:
        raise InvalidInput(f"{folder} is a joint search: --budget goes with runs of another --algorithm")
    config = SearchConfig.from_dict(joint_search.stored_run(folder).get("settings"))
    by = open_trainers(args.workers, args.ray_address, config.preset, config.finalists)
    with resumable(folder), LiveReporter() as reporter:
        result = joint_search.resume(folder, reporter, trainers=by)
    console().print(summary(result, folder))
