"""nas finalists: the best of a search trained alone, the weak ones stopped early, beside what the supernet said."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.cli.arguments import Commands, count, positive
from nas.cli.specs import run_folder
from nas.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nas.cli.live import LiveReporter
    from nas.data import Dataset
    from nas.records.results import Result
    from nas.training.candidates import Candidate, CandidateRow, CandidateTrainings, Seen


def add_commands(commands: Commands) -> None:
    """Add the command."""
    finalists = commands.add_parser("finalists", help="train the best of a search alone, the weak ones stopped early")
    finalists.add_argument("folder", metavar="RUN", help="folder of the run")
    finalists.add_argument("--top", type=count, default=8, metavar="K", help="how many of its front (default: 8)")
    finalists.add_argument("--epochs", type=count, default=30, metavar="N", help="full length (default: 30)")
    finalists.add_argument("--batch-size", type=count, default=128, metavar="N", help="(default: 128)")
    finalists.add_argument(
        "--learning-rate", type=positive, metavar="X", help="peak of the schedule (default: AdamW's own)"
    )
    finalists.add_argument(
        "--scheduler", default="halving", metavar="S", help="halving, asha, median or decay (default: halving)"
    )
    finalists.add_argument("--workers", type=count, metavar="N", help="Ray workers (default: this process, no Ray)")
    finalists.add_argument("--ray-address", metavar="A", help="of a Ray cluster that shares this storage")
    finalists.add_argument("--out", metavar="DIR", help="new folder, or one to go on with (default: RUN-finalists)")
    finalists.set_defaults(run=run_finalists)


def run_finalists(args: argparse.Namespace) -> None:
    """Train, then print the table. Started again with the same flags and folder, it goes on."""
    run = run_folder(args.folder)
    from nas.records.results import result_of_run
    from nas.training.candidates import HALVING, check_scheduler, opened, table_lines, write_table

    check_scheduler(args.scheduler)
    if args.workers is None and args.ray_address is None and args.scheduler != HALVING:
        raise InvalidInput(f"the scheduler {args.scheduler} runs under Ray: add --workers N")
    result = result_of_run(run)
    dataset, split = _data(run)
    candidates = chosen(run, result, args.top)
    out = Path(args.out) if args.out else run.with_name(f"{run.name}-finalists")
    trials = _trials(args, candidates, dataset, split, out)
    about = {"scheduler": args.scheduler, "split": list(split), "settings": trials.settings.to_dict()}
    opened(out, candidates, dataset, about)
    from nas.cli.live import LiveReporter, console
    from nas.records.locks import locked

    try:
        with locked(out), LiveReporter() as reporter:
            reporter.plan(_plan(candidates, result, args, out))
            rows = _trained(args, candidates, trials, reporter)
            write_table(rows, out)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt("the same command goes on from the last checkpoints") from stop
    console().print(_table(rows))
    for line in table_lines(rows, trials):
        console().print(line, markup=False)
    console().print(f"wrote {out}/finalists.csv, curves and weights in {out}/trials", markup=False)


def chosen(run: Path, result: "Result", top: int) -> "tuple[Candidate, ...]":
    """Return the `top` of the run's front that keep the latency budget, by the supernet's top-1; proxies are trained.

    `InvalidInput` where front.csv is missing or altered, or no architecture keeps the latency.
    """
    import csv

    from nas.arch import load_arch
    from nas.files import read_bytes
    from nas.runs.plan import TOLERANCE
    from nas.space.scaling import scale_down
    from nas.training.candidates import Candidate

    rows = list(csv.DictReader(read_bytes(run / "front.csv").decode().splitlines()))
    try:
        kept = [row for row in rows if float(row["latency"]) <= result.latency_budget * (1 + TOLERANCE)]
        kept.sort(key=lambda row: (-float(row["top1"]), float(row["latency"])))
    except (KeyError, ValueError) as error:
        raise InvalidInput(f"{run}/front.csv is not the front of a search ({error}); search again") from error
    if not kept:
        raise InvalidInput(f"nothing on the front of {run} keeps {result.latency_budget:.4g} {result.latency_unit}")
    found = []
    for row in kept[:top]:
        arch = load_arch(run / row["spec"])
        if arch.digest != row["digest"]:
            raise InvalidInput(f"{run / row['spec']} is not the network of its line in front.csv: a file was altered")
        proxy = scale_down(arch, result.proxy_resolution, result.proxy_width)
        found.append(Candidate(arch.digest, proxy, float(row["latency"]), row["latency_unit"], float(row["top1"])))
    return tuple(found)


def _data(run: Path) -> "tuple[Dataset, tuple[float, int]]":
    """Return the data set of the run, and the validation fraction and seed of its split."""
    from nas.data import load
    from nas.files import read_json
    from nas.supernet.presets import load_preset

    stored = read_json(run / "experiment.json")
    try:
        settings, digest = stored["settings"], stored["data"]["digest"]
        dataset = load(settings["data"], Path(settings["data_dir"]) if settings.get("data_dir") else None)
        split = (load_preset(settings["preset"]).validation_fraction, int(settings["seed"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{run}/experiment.json lacks what names its images ({error}); search again") from error
    if dataset.digest != digest:
        raise InvalidInput(f"the data set '{dataset.name}' has changed since the run in {run}; search again")
    return dataset, split


def _trials(
    args: argparse.Namespace, candidates: "Sequence[Candidate]", dataset: "Dataset", split: tuple[float, int], out: Path
) -> "CandidateTrainings":
    from nas.training.candidates import trials_of
    from nas.training.loop import TrainingConfig
    from nas.training.optimizers import AdamW

    optimizer = AdamW() if args.learning_rate is None else AdamW(learning_rate=args.learning_rate)
    settings = TrainingConfig(args.epochs, args.batch_size, optimizer, seed=split[1])
    return trials_of([one.arch for one in candidates], dataset, settings, out, split=split)


def _trained(
    args: argparse.Namespace, candidates: "Sequence[Candidate]", trials: "CandidateTrainings", reporter: "LiveReporter"
) -> "list[CandidateRow]":
    """Run the trials in this process or on workers, under a live display."""
    from nas.training.candidates import HALVING, default_rungs, halved, in_turn, table

    rungs = default_rungs(candidates, trials)
    seen = _progress(candidates, rungs if args.scheduler == HALVING else (args.epochs,), reporter)
    if args.workers is None and args.ray_address is None:
        return table(candidates, halved(candidates, rungs, in_turn(trials, seen)))
    from nas.distributed.trials import run_trials

    return run_trials(
        candidates, trials, scheduler=args.scheduler, workers=args.workers or 1, address=args.ray_address, seen=seen
    )


def _progress(candidates: "Sequence[Candidate]", rungs: tuple[int, ...], reporter: "LiveReporter") -> "Seen":
    """Return what shows an epoch: of all epochs that may come, and the best accuracy so far."""
    from nas.search.schedulers.halving import epochs

    steps = epochs(len(candidates), rungs)
    known: dict[str, dict[int, float]] = {}

    def seen(digest: str, epoch: int, top1: float) -> None:
        known.setdefault(digest, {})[epoch] = top1
        done = sum(map(len, known.values()))
        best = max(max(curve.values()) for curve in known.values())
        reporter.advance("finalists", done, steps, f"{digest[:8]} epoch {epoch}: {top1:.1%}, best {best:.1%}")

    return seen


def _plan(candidates: "Sequence[Candidate]", result: "Result", args: argparse.Namespace, out: Path) -> list[str]:
    where = f"on {args.workers or 1} Ray workers" if args.workers or args.ray_address else "in this process"
    side = result.proxy_resolution
    return [
        f"{len(candidates)} finalists within {result.latency_budget:.4g} {result.latency_unit} on {result.target}",
        f"trained as proxies of width {result.proxy_width:g} at {side} px, up to {args.epochs} epochs, {where}",
        f"scheduler {args.scheduler}, measured on the images that the search held out, into {out}",
    ]


def _table(rows: "Sequence[CandidateRow]") -> Any:
    from nas.cli.live import aligned_table, latency_text

    found = aligned_table(
        "finalists trained alone", ["place", "network", "state"], ["epochs", "latency", "supernet", "alone", "gained"]
    )
    for row in map(asdict, rows):
        found.add_row(
            str(row["place"]), row["digest"][:12], row["error"] or row["state"], str(row["epochs"]),
            latency_text(row["latency"], row["latency_unit"]), f"{row['supernet_top1']:.2%}",
            f"{row['alone_top1']:.2%}", f"{row['gained']:+d}",
        )  # fmt: skip
    return found
