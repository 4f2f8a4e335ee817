"""nas train: one network, or its proxy, trained alone under a live display."""

import argparse
import sys
from pathlib import Path

from nas.cli.flags.shared import preparation
from nas.cli.flags.train import check_out, out_folder
from nas.cli.found import show_training
from nas.cli.live import LiveReporter
from nas.cli.models import targets_of
from nas.cli.planning import show_plan
from nas.cli.signals import interruptible
from nas.cli.tracking import trackers
from nas.data import Dataset, resolution_notes
from nas.errors import InvalidInput
from nas.files import CannotWrite
from nas.progress import Progress
from nas.records.networks import arch_of
from nas.runs.reinforce import teacher_of
from nas.runs.single_training import (
    TrainingSubject,
    check_supernet_of,
    config_of_run,
    for_classes,
    proxy_subject,
    started_from,
    training_data,
)
from nas.training.loop import TRAIN, TrainingConfig, TrainingProgress, train
from nas.training.optimizers import AdamW

FILES = ("arch.json", "weights.safetensors", "train.json")


def run(args: argparse.Namespace) -> None:
    """Train, then print the test accuracy. Started again with the same flags and folder, it goes on."""
    arch = arch_of(args.spec)
    out = out_folder(args, args.data or config_of_run(args.spec).data)
    check_out(out)
    dataset = training_data(args.spec, out, args.data, args.data_dir, **preparation(args))
    notes: tuple[str, ...] = ()
    if args.from_supernet:
        own = args.data is None and not any(value is not None for value in preparation(args).values())
        notes = check_supernet_of(args.spec, dataset, "train", own_data=own, accept_changes=args.accept_changes)
    subject = TrainingSubject(for_classes(args.spec, arch, dataset))
    if args.proxy:
        subject = proxy_subject(
            args.spec, subject.arch, dataset,
            resolution=args.proxy_resolution, width=args.proxy_width, from_supernet=args.from_supernet,
        )  # fmt: skip
    if args.weights:
        subject = started_from(subject, args.weights, args.seed)
    optimizer = AdamW() if args.learning_rate is None else AdamW(learning_rate=args.learning_rate)
    config = TrainingConfig(args.epochs, args.batch_size, optimizer, seed=args.seed)
    teacher, taught = None, list[str]()
    if args.teacher:
        share, temperature = args.teacher_share or 0.5, 2.0 if args.temperature is None else args.temperature
        teacher = teacher_of(args.teacher, dataset, share, temperature)
        taught = [f"teacher {args.teacher}: {share:.0%} of the loss, temperature {temperature:g}"]
    notes = (*notes, *taught)
    if args.plan:
        show_plan(args, [*_plan(subject, dataset, config, out), *taught], out, FILES)
        return
    try:
        with (
            interruptible(lambda: "the same command goes on from the last checkpoint"),
            LiveReporter(sys.stderr if args.json else None, folder=out, trackers=trackers(args, out)) as reporter,
        ):
            reporter.plan([*_plan(subject, dataset, config, out), *notes])
            result = train(
                subject.arch, dataset, config, out, lambda event: _report(event, reporter),
                initial_weights=subject.weights, proxy_width=subject.proxy_width, teacher=teacher,
                timing=reporter.timing,
            )  # fmt: skip
    except CannotWrite as error:
        raise InvalidInput(f"{error}; then the same command goes on from the last checkpoint") from error
    show_training(args, result.accuracy, out, targets_of([args.spec]))


def _plan(subject: TrainingSubject, dataset: Dataset, config: TrainingConfig, out: Path) -> list[str]:
    arch = subject.arch
    size, channels = arch.input_shape.size, arch.input_shape.channels
    network = "target network" if subject.proxy_width == 1 else f"proxy of width {subject.proxy_width:g}"
    noun = _examples(dataset)
    images, epochs = min(config.batch_size, len(dataset.y_train)), config.epochs
    return [
        f"network: {arch.name}, {network}, {size.text}, {channels} channels, {dataset.outputs_text}"
        f"{subject.strides_note}",
        f"costs of what is trained: {arch.macs:,} MACs, {arch.params:,} parameters",
        f"data {dataset.name}: {len(dataset.y_train):,} training and {len(dataset.y_test):,} test {_examples(dataset)}",
        f"{epochs} epochs of {len(dataset.y_train) // images:,} steps of {images} {noun}, from {subject.start}, "
        f"into {out}",
        *subject.start_lines,
        *(f"data note: {note}" for note in (*dataset.notes, *resolution_notes(dataset, size))),
    ]


def _examples(dataset: Dataset) -> str:
    """Return what the examples are called, of waveforms with their length, their rate and the number of classes."""
    return f"{dataset.size_text}, {dataset.outputs_text}" if dataset.is_waveforms else "images"


def _report(event: TrainingProgress, reporter: LiveReporter) -> None:
    reporter.advance(*_state(event))
    reporter.track(Progress(TRAIN, event.step, event.steps, event.loss, event.top1))


def _state(event: TrainingProgress) -> tuple[str, int, int, str]:
    return TRAIN, event.step, event.steps, event.text
