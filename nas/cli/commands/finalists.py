"""nas finalists: the best of a search trained alone, beside their accuracies in the supernet, under a live display."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from nas.cli.console import console, show_whole
from nas.cli.deployed_dtype import int8_flags
from nas.cli.folders import run_folder
from nas.cli.live import LiveReporter
from nas.cli.signals import interruptible
from nas.cli.tables.finalists import finalists_table
from nas.cli.tracking import trackers
from nas.errors import InvalidInput
from nas.ops import Size
from nas.progress import Progress
from nas.progress.time_left import Phase, Schedule
from nas.records.locks import locked
from nas.records.named_code import command_on
from nas.records.networks import arch_of
from nas.records.results import Result, result_of_run, share_text
from nas.records.trainings import SPECS
from nas.runs.front_training import open_trainings, train_candidates
from nas.search.schedulers.halving import epochs
from nas.space.scaling import dropped_strides_note, scale_down, strides_of
from nas.training.candidates import (
    HALVING,
    Candidate,
    CandidateRow,
    OnCandidateEpoch,
    check_scheduler,
    default_rungs,
    table_notes,
    write_table,
)
from nas.training.loop import TrainingConfig
from nas.training.optimizers import AdamW

EPOCH_S = 5.0  # expected of an epoch of a proxy, until one is over


def run(args: argparse.Namespace) -> None:
    """Train, then print the table. Started again with the same flags and folder, it goes on."""
    folder = run_folder(args.folder)
    check_scheduler(args.scheduler)
    if args.workers is None and args.ray_address is None and args.scheduler != HALVING:
        raise InvalidInput(f"the scheduler {args.scheduler} runs under Ray: add --workers N")
    result = result_of_run(folder)
    out = Path(args.out) if args.out else folder.with_name(f"{folder.name}-finalists")
    optimizer = AdamW() if args.learning_rate is None else AdamW(learning_rate=args.learning_rate)
    config = TrainingConfig(args.epochs, args.batch_size, optimizer)
    tracked = trackers(args, out)  # one that is missing is said before any work
    opened = open_trainings(
        folder, result, args.top, config, args.scheduler, out, args.data, accept_changes=args.accept_changes
    )
    candidates, trainings = opened.candidates, opened.trainings
    rungs = default_rungs(candidates, trainings) if args.scheduler == HALVING else (args.epochs,)
    phases = (Phase("finalists", epochs(len(candidates), rungs), EPOCH_S),)
    advice = "the same command goes on from the last checkpoints"
    with interruptible(lambda: advice), locked(out), LiveReporter(folder=out, trackers=tracked) as reporter:
        notes = (f"data note: {note}" for note in trainings.data.notes)
        reporter.plan([*_plan(candidates, result, args, out), *notes, *opened.lines])
        reporter.timing(Schedule(phases))
        metric = trainings.data.task.score.name
        rows = train_candidates(
            candidates, trainings, args.scheduler, _progress(candidates, rungs, reporter, metric),
            workers=args.workers, address=args.ray_address,
        )  # fmt: skip
        write_table(rows, out)
    console().print(finalists_table([asdict(row) for row in rows], metric))
    for line in table_notes(rows, trainings):
        console().print(line, markup=False)
    show_whole(
        [
            f"wrote {out}/finalists.csv",
            f"wrote {out}/trials: curves and weights",
            f"next: {command_on(folder, 'deploy', *_to_deploy(folder, rows, result), settings=['data'])}",
        ]
    )


def _to_deploy(run: Path, rows: Sequence[CandidateRow], result: Result) -> tuple[str, ...]:
    """Return what names the best candidate, the run where it is its result, else its spec file, and its numbers."""
    digest = rows[0].digest
    best = str(run if digest == result.arch.digest else run / SPECS / f"{digest[:12]}.json")
    return best, *int8_flags(arch_of(best), str(run))


def _progress(
    candidates: Sequence[Candidate], rungs: tuple[int, ...], reporter: LiveReporter, metric: str
) -> OnCandidateEpoch:
    """Return what shows an epoch: of all epochs that may come, and the best accuracy so far."""
    steps = epochs(len(candidates), rungs)
    known: dict[str, dict[int, float]] = {}

    def on_epoch(digest: str, epoch: int, top1: float) -> None:
        known.setdefault(digest, {})[epoch] = top1
        done = sum(map(len, known.values()))
        best = max(max(curve.values()) for curve in known.values())
        now, highest = (share_text(score, metric, 1) for score in (top1, best))
        reporter.advance("finalists", done, steps, f"{digest[:8]} epoch {epoch}: {now}, best {highest}")
        reporter.track(Progress(f"finalists/{digest[:8]}", epoch, rungs[-1], argmax_top1=top1, metric=metric))

    return on_epoch


def _plan(candidates: Sequence[Candidate], result: Result, args: argparse.Namespace, out: Path) -> list[str]:
    where = f"on {args.workers or 1} Ray workers" if args.workers or args.ray_address else "in this process"
    size, arch = Size.of(result.proxy_resolution), result.arch
    note = dropped_strides_note(strides_of(arch), strides_of(scale_down(arch, size, result.proxy_width)))
    return [
        f"{len(candidates)} finalists within {result.latency_budget:.4g} {result.latency_unit} on {result.target}",
        f"trained as proxies of width {result.proxy_width:g} at {size.text}{note}, up to {args.epochs} epochs, {where}",
        f"scheduler {args.scheduler}, measured on the validation images of the search, into {out}",
    ]
