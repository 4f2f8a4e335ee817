"""nas deploy: from the network that a search found to a folder that names the class of an image."""

import argparse
import sys
from pathlib import Path

from nas.cli.console import duration
from nas.cli.deployed_dtype import dtype_notes
from nas.cli.flags.shared import preparation
from nas.cli.live import LiveReporter
from nas.cli.output import print_json, say
from nas.cli.planning import show_plan
from nas.cli.signals import interruptible
from nas.errors import InvalidInput
from nas.files import CannotWrite
from nas.quantisation.config import QuantisationConfig
from nas.runs.deploy import MEASURE, DeployConfig, Deployment, ExportConfig, deploy, plan, subject_of, training_s
from nas.runs.teachers import TeacherConfig
from nas.training.loop import TrainingProgress
from nas.training.recipe import DEFAULT, Overrides, load_recipe, resolved


def run(args: argparse.Namespace) -> None:
    """Deploy the network, then print what was written and how to use it."""
    config = deploy_config(args)
    out = Path(args.out) if args.out else config.default_out
    subject = subject_of(config, out)
    lines = [*plan(config, subject, out), *dtype_notes(args.spec, args.quantize)]
    if (seconds := training_s(config, subject)) is not None:
        lines.append(
            f"expected time: {duration(seconds)} on 2 CPU cores, by the MACs; the bar knows better once it moves"
        )
    if args.plan:
        show_plan(args, lines, out, [config.file_name])
        return
    try:
        with (
            interruptible(lambda: "the same command goes on from there"),
            LiveReporter(sys.stderr if args.json else None) as reporter,
        ):
            reporter.plan(lines)
            done = deploy(
                config, subject, out,
                lambda event: reporter.advance(*_state(event)), lambda *event: reporter.advance(MEASURE, *event),
                reporter.timing,
            )  # fmt: skip
    except CannotWrite as error:
        raise InvalidInput(f"{error}; then the same command goes on from there") from error
    show(args, done)


def deploy_config(args: argparse.Namespace) -> DeployConfig:
    """Return the settings that the flags ask for."""
    overrides = Overrides(args.epochs, args.batch_size, args.learning_rate, seed=args.seed)
    return DeployConfig(
        args.spec,
        ExportConfig(
            args.format, args.quantize, args.input, args.opset, args.calibration, args.calibration_images,
            QuantisationConfig(args.calibration_method, tuple(args.keep_float), args.max_drop_points),
        ),
        resolved(load_recipe(args.recipe or DEFAULT), overrides),
        args.data, args.data_dir, preparation(args), args.weights, args.from_supernet, args.measure,
        args.accept_changes, args.recipe,
        TeacherConfig(args.teacher, args.tolerant_teacher, args.teacher_share, args.temperature),
    )  # fmt: skip


def show(args: argparse.Namespace, done: Deployment) -> None:
    """Print what was done, and the command that names the class of an image."""
    if args.json:
        paths = {"folder": done.folder, "file": done.file, "predict": done.predict, "training": done.training}
        print_json({name: None if path is None else str(path) for name, path in paths.items()})
        return
    for line in done.lines:
        say(line)
    say(f"deployed in {done.folder}: {done.file.name}, from {done.training}")
    if done.predict is not None:
        say(f"next: python {done.predict} {done.example}")


def _state(event: TrainingProgress) -> tuple[str, int, int, str]:
    return event.stage, event.step, event.steps, event.text
