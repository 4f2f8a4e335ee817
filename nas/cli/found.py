"""What searches and trainings found, printed for a reader or as JSON, when they end and by nas show."""

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from nas.cli.console import console, show_whole
from nas.cli.deployed_dtype import int8_flags
from nas.cli.output import print_json
from nas.cli.tables.search_result import MEASURED_TABLES, accuracy_text, print_multi_target, print_summary
from nas.files import read_json
from nas.records.class_accuracy import ClassAccuracy
from nas.records.confusion import load_confusion
from nas.records.experiment import read_experiment
from nas.records.front import load_front
from nas.records.history import load_history
from nas.records.networks import UNIVERSAL, arch_of
from nas.records.picks import load_picks
from nas.records.results import Result, Score, accuracy_from
from nas.records.target_scores import TargetScores
from nas.records.verdict import load_verdict
from nas.report.recomputed import as_predicted_now

TRAINING_FILES = (
    "arch.json", "weights.safetensors", "train.json", "ranges.json", "confusion.csv", "history.json", "recipe.toml",
    "report.html",
)  # fmt: skip

if TYPE_CHECKING:
    from nas.runs.multi_target import MultiTargetResult  # jax


def show_result(args: argparse.Namespace, result: Result, run: Path, chosen_by: str | None = None) -> None:
    """Print the network that a search for one target found, with the costs that are predicted for it now."""
    result = as_shown(result, run)
    if args.json:
        print_json(result_json(result, run))
    else:
        print_summary(result, run, console(), chosen_by)


def show_multi_target(args: argparse.Namespace, found: "MultiTargetResult", run: Path) -> None:
    """Print the networks that a search found for one or several targets, with the costs that are predicted now."""
    results = {name: as_shown(result, found.folders[name]) for name, result in found.results.items()}
    universal = found.universal and as_shown(found.universal, run / UNIVERSAL)
    found = replace(found, results=results, universal=universal)
    if args.json:
        print_json(multi_target_json(found, run))
    else:
        print_multi_target(found, run, console())


def as_shown(result: Result, run: Path) -> Result:
    """Return the result of a run with the costs that the model of its target predicts now."""
    return as_predicted_now(result, read_experiment(run) if (run / "experiment.json").exists() else {})


def result_json(result: Result, run: Path) -> dict[str, Any]:
    """Return a result as best.json has it, with its folder, and its picks, verdict and front where the run has them."""
    beside = {"picks": load_picks(run), "verdict": load_verdict(run), "front": load_front(run)}
    found = {name: value.to_dict() for name, value in beside.items() if value}
    if any(run.glob(MEASURED_TABLES)):
        found["measured"] = resolve_name("nas.cli.measuring:all_measured_json")(run)
    return {"folder": str(run), **result.to_dict(), **found}


def multi_target_json(found: "MultiTargetResult", run: Path) -> dict[str, Any]:
    """Return the result of one target as `result_json` does, or that of each of several under its name."""
    if len(found.results) == 1:
        return result_json(next(iter(found.results.values())), run)
    targets = {name: result_json(result, found.folders[name]) for name, result in found.results.items()}
    value: dict[str, Any] = {"folder": str(run), "targets": targets}
    if found.universal is not None:
        value |= {UNIVERSAL: result_json(found.universal, run / UNIVERSAL), "regrets": found.regrets}
    return value


def show_training(args: argparse.Namespace, accuracy: Score, out: Path, targets: Sequence[str] = ()) -> None:
    """Print the test accuracy, or the scores of another task, of a finished training.

    `targets` are those of the run that its network is from.
    """
    if args.json:
        print_json(training_json(out))
        return
    stated = read_json(out / "train.json")
    lines = [f"test {accuracy.kind.title} {accuracy_text(accuracy)}"]
    if scores := TargetScores.stated_by(stated):
        lines = [*scores.lines(), f"score of a search: {accuracy.kind.title} {accuracy_text(accuracy)}"]
    if by_class := ClassAccuracy.stated_by(stated):
        lines.append(f"balanced accuracy {by_class.balanced:.2%}; lowest: {by_class.lowest()} images")
    if confusion := load_confusion(out):
        worst = confusion.worst()
        mistakes = "; ".join(f"'{true}' taken for '{taken}' {count:,} times" for true, taken, count in worst)
        lines.append(f"most frequent mistakes: {mistakes or 'none'}")
    if history := load_history(out):
        lines.append(history.text())
    if "int8_accuracy" in stated:
        int8 = accuracy_from(stated["int8_accuracy"])
        lines.append(f"in int8, as its files: {int8.kind.title} {accuracy_text(int8)}")
    lines.append(f"of: {accuracy.kind.label()}")
    console().print("\n".join(lines), markup=False)
    trained_for_int8 = ("--quantize", "int8") if "int8_accuracy" in stated else ()
    quantized = trained_for_int8 or int8_flags(arch_of(str(out)), str(out), targets)
    on = ("--targets", ",".join(targets)) if targets else ()
    show_whole(
        [
            f"wrote {out}/{', '.join(name for name in TRAINING_FILES if (out / name).exists())}",
            f"next: {shlex.join(('nas', 'deploy', str(out), *quantized))}",
            f"next: {shlex.join(('nas', 'compare', str(out), *on))}",
        ]
    )


def training_json(out: Path) -> dict[str, Any]:
    """Return what a training left in train.json, with its folder."""
    return {"folder": str(out), **read_json(out / "train.json")}
