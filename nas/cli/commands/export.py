"""nas export: a network as a file for use elsewhere, checked by running it."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.arch import ArchSpec
from nas.cli.folders import base_name
from nas.errors import InvalidInput, unknown_name
from nas.export.calibration import load_calibration
from nas.export.options import FileOptions, exporter_arguments
from nas.export.provenance import folder_provenance, measured_latency
from nas.records.networks import arch_of, is_training
from nas.registry import ENDINGS, EXPORTERS, INT8_EXPORTERS, load


def run(args: argparse.Namespace) -> None:
    """Write the network and say what was written; a format that needs weights gets declared random ones, given none."""
    arch = arch_of(args.spec)
    options: dict[str, Any] = {}
    exporter = _exporter(args)
    if args.quantize is not None:
        options["calibration"] = load_calibration(
            arch, args.calibration, Path(args.data_dir) if args.data_dir else None
        )
    options |= exporter_arguments(args.format, FileOptions(opset=args.opset))
    weights, provenance = _weights(args, arch)
    if args.measured:
        provenance |= measured_latency(Path(args.measured), arch)
    ending = ENDINGS.get(args.format, f"-{args.format}")  # of a file, or of a folder
    suffix = "" if args.quantize is None else f"-{args.quantize}"
    out = Path(args.out or f"{base_name(args.spec)}{suffix}{ending}")
    for line in exporter(arch, out, weights=weights, provenance=provenance, **options):
        print(line)


def _exporter(args: argparse.Namespace) -> Any:
    """Return the function that writes the format; `InvalidInput` where the flags do not go together."""
    if args.quantize is None:
        if args.calibration is not None:
            raise InvalidInput("--calibration belongs to --quantize int8; give both or neither")
        return load("format", EXPORTERS, args.format)
    if args.quantize != "int8":
        raise unknown_name("quantisation", args.quantize, ["int8"])
    if args.format in EXPORTERS and args.format not in INT8_EXPORTERS:
        raise InvalidInput(f"the format {args.format} has no int8 form; these have: {', '.join(INT8_EXPORTERS)}")
    if args.calibration is None:
        raise InvalidInput("--quantize int8 needs images: --calibration DATA, best those that it was trained on")
    return load("format", INT8_EXPORTERS, args.format)


def _weights(args: argparse.Namespace, arch: ArchSpec) -> tuple[Mapping[str, Any] | None, dict[str, str]]:
    """Return the weights to write, None for none, and the provenance of the network and of its weights."""
    source = args.weights or (args.spec if is_training(args.spec) else None)
    provenance = folder_provenance(Path(args.spec))
    if args.weights is not None and args.format == "json":
        raise InvalidInput("a spec holds no weights; leave --weights out, or choose another --format")
    if source is None or args.format == "json":
        return None, provenance
    from nas.export.weights import read_weights  # jax, which a spec does without

    weights, of_weights = read_weights(Path(source), arch)
    return weights, provenance | of_weights
