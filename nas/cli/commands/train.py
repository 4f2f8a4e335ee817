"""nas train: one network, or its proxy, trained alone under a live display."""

import argparse
import sys
from dataclasses import replace
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
from nas.errors import InvalidInput, unknown_name
from nas.files import CannotWrite
from nas.progress import Progress
from nas.records.networks import arch_of
from nas.report.training_page import PAGE as TRAINING_PAGE
from nas.report.training_page import write_training_page
from nas.runs.expectations import expectations, tuning_lines
from nas.runs.single_training import (
    TrainingSubject,
    check_supernet_of,
    config_of_run,
    for_classes,
    proxy_subject,
    started_from,
    training_data,
)
from nas.runs.teachers import TeacherConfig
from nas.runs.transfer import started_from_training, with_outputs_of
from nas.training.fine_tuning import FineTuning
from nas.training.loop import TrainingConfig, TrainingProgress, check_batch, train, validation_images
from nas.training.qat_config import QATConfig
from nas.training.recipe import DEFAULT, Overrides, load_recipe, recipe_lines, resolved

INT8 = "int8"
FILES = ("arch.json", "weights.safetensors", "train.json")


def qat_of(args: argparse.Namespace) -> QATConfig | None:
    """Return the settings of the steps in int8 that the flags ask for, None where none are."""
    if args.quantize is None:
        return None
    if args.quantize != INT8:
        raise unknown_name("quantisation", args.quantize, [INT8])
    given = {"share": args.qat_share, "rate": args.qat_rate}
    return QATConfig(**{name: value for name, value in given.items() if value is not None})


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
    arch = for_classes(args.spec, arch, dataset)
    subject = TrainingSubject(with_outputs_of(arch, dataset) if args.source else arch)
    if args.proxy:
        subject = proxy_subject(
            args.spec, subject.arch, dataset,
            resolution=args.proxy_resolution, width=args.proxy_width, from_supernet=args.from_supernet,
        )  # fmt: skip
    if args.weights:
        subject = started_from(subject, args.weights, args.seed)
    if args.source:
        subject = started_from_training(subject, args.source, dataset, args.seed)
    config = replace(resolved(load_recipe(args.recipe or DEFAULT), _overrides(args)), qat=qat_of(args))
    subject.check_frozen(config.ingredients.fine_tuning)
    config.ingredients.check(dataset)
    teachers = TeacherConfig(args.teacher, args.tolerant_teacher, args.teacher_share, args.temperature)
    teacher = teachers.load(dataset)
    check_batch(len(dataset.y_train) - validation_images(dataset, config), config.batch_size)
    about = recipe_lines(args.recipe, config) if args.recipe else []
    about += [*tuning_lines(subject.arch, config), *expectations(dataset, subject)]
    notes = (*notes, *teachers.lines)
    lines = [*_plan(subject, dataset, config, out), *about]
    if args.plan:
        show_plan(args, [*lines, *teachers.lines], out, _files(args, config, dataset))
        return
    try:
        with (
            interruptible(lambda: "the same command goes on from the last checkpoint"),
            LiveReporter(sys.stderr if args.json else None, folder=out, trackers=trackers(args, out)) as reporter,
        ):
            reporter.plan([*lines, *notes])
            result = train(
                subject.arch, dataset, config, out, lambda event: _report(event, reporter),
                initial_weights=subject.weights, proxy_width=subject.proxy_width, teacher=teacher,
                recipe=args.recipe, timing=reporter.timing,
            )  # fmt: skip
            write_training_page(out)
    except CannotWrite as error:
        raise InvalidInput(f"{error}; then the same command goes on from the last checkpoint") from error
    show_training(args, result.accuracy, out, targets_of([args.spec]))


def _overrides(args: argparse.Namespace) -> Overrides:
    """Return what the flags say instead of the recipe."""
    tuning = FineTuning(args.freeze_stages, args.lr_decay_per_stage)
    return Overrides(
        args.epochs, args.batch_size, args.learning_rate, args.validation, args.patience, args.seed, args.precision,
        tuning,
    )  # fmt: skip


def _files(args: argparse.Namespace, config: TrainingConfig, dataset: Dataset) -> list[str]:
    """Return the names of the files that a training leaves."""
    more = [
        *(["confusion.csv"] if dataset.has_classes else []),
        *(["history.json"] if config.validation else []),
        *(["recipe.toml"] if args.recipe else []),
    ]
    return [*FILES, *more, TRAINING_PAGE]


def _plan(subject: TrainingSubject, dataset: Dataset, config: TrainingConfig, out: Path) -> list[str]:
    arch = subject.arch
    size, channels = arch.input_shape.size, arch.input_shape.channels
    network = "target network" if subject.proxy_width == 1 else f"proxy of width {subject.proxy_width:g}"
    noun = _examples(dataset)
    training = len(dataset.y_train) - validation_images(dataset, config)
    images, epochs = min(config.batch_size, training), config.epochs
    return [
        f"network: {arch.name}, {network}, {size.text}, {channels} channels, {dataset.outputs_text}"
        f"{subject.strides_note}",
        f"costs of what is trained: {arch.macs:,} MACs, {arch.params:,} parameters",
        f"data {dataset.name}: {len(dataset.y_train):,} training and {len(dataset.y_test):,} test {_examples(dataset)}",
        f"{epochs} epochs of {training // images:,} steps of {images} {noun}, from {subject.start}, into {out}",
        *subject.start_lines,
        *int8_lines(config, training),
        *(f"data note: {note}" for note in (*dataset.notes, *resolution_notes(dataset, size))),
    ]


def int8_lines(config: TrainingConfig, images: int) -> list[str]:
    """Return a line on the steps in int8, where there are any."""
    if config.qat is None:
        return []
    steps = config.epochs * (images // min(config.batch_size, images))
    last = config.qat.steps_of(steps)
    return [f"in int8: the last {last:,} of {steps:,} steps, at {config.qat.rate:g} of the learning rate"]


def _examples(dataset: Dataset) -> str:
    """Return what the examples are called, of waveforms with their length, their rate and the number of classes."""
    return f"{dataset.size_text}, {dataset.outputs_text}" if dataset.is_waveforms else "images"


def _report(event: TrainingProgress, reporter: LiveReporter) -> None:
    reporter.advance(*_state(event))
    reporter.track(Progress(event.stage, event.step, event.steps, event.loss, event.top1))


def _state(event: TrainingProgress) -> tuple[str, int, int, str]:
    return event.stage, event.step, event.steps, event.text
