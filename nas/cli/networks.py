"""nas export: a network as a file for use elsewhere, checked by running it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.cli.arguments import Commands
from nas.cli.specs import SPEC_OR_RUN, network_name
from nas.errors import InvalidInput, unknown_name
from nas.records.networks import arch_of, is_training

if TYPE_CHECKING:
    from nas.arch import ArchSpec


def add_commands(commands: Commands) -> None:
    """Add the command."""
    export = commands.add_parser("export", help="write a network for use elsewhere")
    export.add_argument("spec", metavar="SPEC|RUN", help=SPEC_OR_RUN)
    export.add_argument(
        "--format", default="json", metavar="F",
        help="json: the spec; flax: code and weights; stablehlo; onnx; tflite; timm: block strings and weights",
    )  # fmt: skip
    export.add_argument("--weights", metavar="W", help="folder of a training, or its weights.safetensors")
    export.add_argument("-o", "--out", metavar="PATH", help="new file or folder (default: NAME.FORMAT or NAME-flax)")
    export.add_argument("--quantize", metavar="Q", help="int8, for onnx and tflite; needs --calibration")
    export.add_argument("--calibration", metavar="D", help="images for int8: name, .npz file or folder")
    export.add_argument("--data-dir", metavar="DIR", help="where published files lie (NAS_DATA_DIR, ~/.cache/nas)")
    export.add_argument("--measured", metavar="CSV", help="latency of the network, by nas measure, for its model card")
    export.set_defaults(run=run_export)


def run_export(args: argparse.Namespace) -> None:
    """Write the network and say what was written; a format that needs weights gets declared random ones, given none."""
    from nas.registry import ENDINGS

    arch = arch_of(args.spec)
    settings: dict[str, Any] = {}
    exporter = _exporter(args)
    if args.quantize is not None:
        from nas.export.calibration import load_calibration

        settings["calibration"] = load_calibration(
            arch, args.calibration, Path(args.data_dir) if args.data_dir else None
        )
    weights, provenance = _weights(args, arch)
    if args.measured:
        from nas.export.provenance import measured

        provenance |= measured(Path(args.measured), arch)
    ending = ENDINGS.get(args.format, f"-{args.format}")  # of a file, or of a folder
    suffix = "" if args.quantize is None else f"-{args.quantize}"
    out = Path(args.out or f"{network_name(args.spec)}{suffix}{ending}")
    for line in exporter(arch, out, weights=weights, provenance=provenance, **settings):
        print(line)


def _exporter(args: argparse.Namespace) -> Any:
    """Return the function that writes the format; `InvalidInput` where the flags do not go together."""
    from nas.registry import EXPORTERS, INT8_EXPORTERS, load

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


def _weights(args: argparse.Namespace, arch: "ArchSpec") -> tuple[Any, dict[str, str]]:
    """Return the weights to write, None for none, and what is known of the network and of them."""
    from nas.export.provenance import of_folder

    source = args.weights or (args.spec if is_training(args.spec) else None)
    provenance = of_folder(Path(args.spec))
    if args.weights is not None and args.format == "json":
        raise InvalidInput("a spec holds no weights; leave --weights out, or choose another --format")
    if source is None or args.format == "json":
        return None, provenance
    from nas.export.weights import given_weights

    weights, said = given_weights(Path(source), arch)
    return weights, provenance | said
