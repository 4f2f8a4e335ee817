"""nas export: a network as a file for use elsewhere, checked by running it."""

import argparse
from pathlib import Path
from typing import Any

from nas.arch import ArchSpec
from nas.cli.deployed_dtype import dtype_notes
from nas.cli.folders import base_name
from nas.cli.output import say
from nas.errors import unknown_name
from nas.export.interface import example_of, predict_of
from nas.export.options import FileOptions, exporter_arguments, uint8_input
from nas.export.provenance import measured_latency
from nas.export.sources import WEIGHTLESS, Source, calibration_of, find_weights, load_source
from nas.quantisation.config import QuantisationConfig
from nas.records.networks import arch_of
from nas.registry import ENDINGS, EXPORTERS, INT8_EXPORTERS, load


def run(args: argparse.Namespace) -> None:
    """Write the network and say what was written; a format that needs weights gets declared random ones, given none."""
    arch = arch_of(args.spec)
    exporter = _exporter(args)
    source = _source(args, arch)
    options = exporter_arguments(args.format, FileOptions(uint8_input(args.input, source.signature), args.opset))
    if args.quantize is not None:
        config = QuantisationConfig(args.calibration_method, tuple(args.keep_float), args.max_drop_points)
        options["calibration"] = calibration_of(
            arch, source, args.calibration, args.data_dir, images=args.calibration_images, config=config
        )
        for note in options["calibration"].data_notes:
            say(f"data note: {note}")
    if args.measured:
        source.provenance.update(measured_latency(Path(args.measured), arch))
    ending = ENDINGS.get(args.format, f"-{args.format}")  # of a file, or of a folder
    suffix = "" if args.quantize is None else f"-{args.quantize}"
    out = Path(args.out or f"{base_name(args.spec)}{suffix}{ending}")
    for line in exporter(arch, out, **source.arguments(), **options):
        say(line)
    for note in dtype_notes(args.spec, args.quantize) if args.format != WEIGHTLESS else ():
        say(note)
    if (program := predict_of(out)) is not None:
        say(f"next: python {program} {example_of(source.signature)}")


def _exporter(args: argparse.Namespace) -> Any:
    """Return the function that writes the format."""
    if args.quantize is None:
        return load("format", EXPORTERS, args.format)
    if args.quantize != "int8":
        raise unknown_name("quantisation", args.quantize, ["int8"])
    return load("format", INT8_EXPORTERS, args.format)


def _source(args: argparse.Namespace, arch: ArchSpec) -> Source:
    """Return the weights to write, with what is known of them and of the network."""
    weights = find_weights(args.spec, args.format, args.weights, random_weights=args.random_weights)
    return load_source(arch, args.spec, weights)
