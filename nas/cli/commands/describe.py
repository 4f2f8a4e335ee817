"""nas describe: a network block by block, with what it costs on a device."""

import argparse
from dataclasses import replace
from pathlib import Path

from nas.cli.models import latency_model, with_device_of
from nas.cli.output import say, show
from nas.records.networks import arch_of
from nas.records.signatures import signature_of
from nas.report.describe import describe, forest_row
from nas.report.network_view import check_new_file, write
from nas.space.scaling import with_input


def run(args: argparse.Namespace) -> None:
    """Draw a network block by block, into a file too where one is named; with --kernels, print every kernel's cost."""
    out = Path(args.out) if args.out else None
    if out:
        check_new_file(out)
    arch = arch_of(args.spec)
    if args.resolution is not None:
        arch = with_input(arch, args.resolution, arch.input_shape.channels, arch.num_classes)
    shape = arch.input_shape
    model = latency_model(with_device_of(args, args.spec), shape.size, shape.channels, arch.num_classes)
    assert model is not None  # a target is the default
    description = replace(describe(arch, model), forests=tuple(forest_row(path, arch) for path in args.forest))
    if out:
        write(arch, model, out)
    signature = signature_of(Path(args.spec)) if Path(args.spec).is_dir() else None
    show(
        args, description.to_json(), "nas.cli.tables.network:network_view", arch, model, description, args.kernels
    )  # fmt: skip
    if signature is not None and signature.outputs.meaning != "classes" and not args.json:
        names = ", ".join(signature.class_names)
        say(f"task {signature.outputs.kind}, whose outputs are no classes: {names}")
