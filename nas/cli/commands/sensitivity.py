"""nas sensitivity: what each layer loses in int8."""

import argparse
import shlex
import sys

from nas.cli.live import LiveReporter
from nas.cli.output import say, show
from nas.cli.signals import interruptible
from nas.quantisation.config import QuantisationConfig
from nas.records.networks import arch_of
from nas.runs.sensitivity import Sensitivity, sensitivity_of

LAYERS = "layers"


def run(args: argparse.Namespace) -> None:
    """Print the layers, the one that loses most first, and the command that keeps it in float32."""
    arch = arch_of(args.spec)
    with (
        interruptible(lambda: "the same command begins from new"),
        LiveReporter(sys.stderr if args.json else None) as reporter,
    ):
        found = sensitivity_of(
            arch, args.spec, form=args.format, weights=args.weights, calibration=args.calibration,
            data_dir=args.data_dir, images=args.images, config=QuantisationConfig(args.calibration_method),
            calibration_images=args.calibration_images,
            advance=lambda done, total, layer: reporter.advance(LAYERS, done, total, layer),
        )  # fmt: skip
    show(args, found.to_json(), "nas.cli.tables.sensitivity:sensitivity_view", found, args.top)
    if not args.json:
        say(f"next: {shlex.join(_next(args, found))}")


def _next(args: argparse.Namespace, found: Sensitivity) -> list[str]:
    """Return the words of a command that exports the network with the layer that loses most in float32."""
    names = ("weights", "calibration", "data_dir", "calibration_method", "calibration_images")
    given = {f"--{name.replace('_', '-')}": getattr(args, name) for name in names}
    words = ["nas", "export", args.spec, "--format", found.form, "--quantize", "int8"]
    words += [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
    return [*words, "--keep-float", found.layers[0].layer]
