"""nas show: what a finished run, training, re-training of candidates, ranking or comparison found."""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from latency_models.latency_error import error_from
from nas.cli.console import console
from nas.cli.folders import is_multi_target
from nas.cli.found import show_multi_target, show_result, show_training
from nas.cli.output import print_json
from nas.cli.tables.finalists import finalists_table, read_finalists
from nas.cli.tables.ranking import show_ranking
from nas.compare.compare import Comparison
from nas.compare.table import tables
from nas.errors import InvalidInput
from nas.files import read_json
from nas.records.named_code import resume_command
from nas.records.networks import load_trained
from nas.records.results import TOP1, load_result
from nas.records.typed import read_object

TABLES = {  # table of comparison.json -> columns that are asked for where it has no row
    "rows": (), "hypervolumes": ("item", "points", "target", "accuracy_kind"), "optimal": ("name",),
    "regrets": ("accuracy_kind",),
}  # fmt: skip
SUPERNET_TRAINED_ONCE = "the best that was evaluated"


def run(args: argparse.Namespace) -> None:
    """Print what the folder holds."""
    folder = Path(args.folder)
    for mark, show in KINDS.items():
        if (folder / mark).exists():
            show(args, folder)
            return
    raise InvalidInput(
        f"{folder} is no folder of a run, a training, finalists, a ranking or a comparison; see: nas runs {folder}"
    )


def _search(args: argparse.Namespace, run: Path) -> None:
    if is_multi_target(run) and not (run / "best.json").exists():
        _several(args, run)
        return
    if not (run / "best.json").exists():
        raise InvalidInput(f"the search in {run} has not finished; go on with: {resume_command(run)}")
    result = load_result(run / "best.json")
    show_result(args, result, run, None if result.policy_entropy else SUPERNET_TRAINED_ONCE)


def _several(args: argparse.Namespace, run: Path) -> None:
    from nas.runs import multi_target  # imports jax, which one result does without
    from nas.runs.multi_target_settings import MultiTargetConfig

    config = MultiTargetConfig.from_dict(multi_target.stored_run(run).get("request"))
    if any(not (run / name / "best.json").exists() for name in config.names):
        raise InvalidInput(f"the search in {run} has not finished; go on with: {resume_command(run)}")
    show_multi_target(args, multi_target.load_results(run, config), run)


def _training(args: argparse.Namespace, folder: Path) -> None:
    if not (folder / "train.json").exists():
        raise InvalidInput(f"the training in {folder} has not finished; the command that began it goes on")
    show_training(args, load_trained(folder)[1], folder)


def _finalists(args: argparse.Namespace, folder: Path) -> None:
    if not (folder / "finalists.csv").exists():
        raise InvalidInput(f"the training in {folder} has not finished; the command that began it goes on")
    rows = read_finalists(folder / "finalists.csv")
    if args.json:
        print_json({"folder": str(folder), "finalists": rows})
    else:
        metric = read_object(folder / "finalists.json", {"metric": str}, "trained finalists").get("metric", TOP1)
        console().print(finalists_table(rows, metric))


def _comparison(args: argparse.Namespace, folder: Path) -> None:
    stored = read_json(folder / "comparison.json")
    if args.json:
        print_json(stored)
        return
    for table in tables(comparison_from(stored)):
        console().print(table)


def comparison_from(stored: Any) -> Comparison:
    """Return the tables of a comparison in the JSON form of comparison.json; `InvalidInput` where it is none."""
    try:
        rows, volumes, optimal, regrets = (_frame(stored[name], *columns) for name, columns in TABLES.items())
        targets, model, notes = tuple(stored["targets"]), str(stored["latency_model"]), tuple(stored["notes"])
        known = stored.get("latency_errors", {})  # which comparisons of earlier releases lack
        errors = tuple(error_from(known[target]) for target in targets if known)
        setups = tuple(str(known[target]["setup"]) for target in targets if known)
    except (TypeError, KeyError, ValueError) as error:
        raise InvalidInput(f"comparison.json is not of a comparison ({error}); compare again") from error
    return Comparison(rows, volumes, optimal, regrets, targets, model, notes, errors=errors, setups=setups)


def _frame(rows: Any, *columns: str) -> pd.DataFrame:
    """Return the rows as a data frame, an empty one with the `columns` that a table of them asks for; None is NaN."""
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(columns))
    numbers = [name for name in ("top1", "standard_error", "extra") if name in frame]
    return frame.astype(dict.fromkeys(numbers, float))


def _ranking(args: argparse.Namespace, folder: Path) -> None:
    if not (folder / "rank.json").exists():
        raise InvalidInput(f"the ranking in {folder} has not finished; the command that began it goes on")
    show_ranking(args, folder)


KINDS = {  # file that a folder has -> what prints it
    "experiment.json": _search,
    "settings.json": _training,
    "train.json": _training,
    "finalists.json": _finalists,
    "ranking.json": _ranking,
    "comparison.json": _comparison,
}
