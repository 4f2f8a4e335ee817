"""nas export: a network for use elsewhere."""

import argparse
import os
from pathlib import Path

from nas.cli.arguments import Commands
from nas.cli.specs import SPEC_OR_RUN, arch_of, is_training, network_name
from nas.errors import InvalidInput

ENDINGS = {
    "json": ".json",
    "onnx": ".onnx",
    "tflite": ".tflite",
}  # of formats that are one file; others are folders NAME-FORMAT
WEIGHTS = "weights.safetensors"  # in the folder of a training


def add_commands(commands: Commands) -> None:
    """Add the command."""
    export = commands.add_parser("export", help="write a network for use elsewhere")
    export.add_argument("spec", metavar="SPEC|RUN", help=SPEC_OR_RUN)
    export.add_argument(
        "--format", default="json", metavar="F", help="json: the spec; flax: code and weights; onnx; tflite"
    )
    export.add_argument("--weights", metavar="W", help="folder of a training, or its weights.safetensors")
    export.add_argument("-o", "--out", metavar="PATH", help="new file or folder (default: NAME.FORMAT or NAME-flax)")
    export.set_defaults(run=run_export)


def run_export(args: argparse.Namespace) -> None:
    """Write the network and say what was written; a format that needs weights gets declared random ones, given none."""
    from nas.registry import EXPORTERS, load

    arch = arch_of(args.spec)
    export = load("format", EXPORTERS, args.format)
    name = network_name(args.spec)
    out = Path(args.out or f"{name}{ENDINGS.get(args.format, f'-{args.format}')}")
    source = args.weights or (args.spec if is_training(args.spec) else None)
    weights, provenance = None, _run_of(args.spec)
    if args.weights is not None and args.format == "json":
        raise InvalidInput("a spec holds no weights; leave --weights out, or choose another --format")
    if source is not None and args.format != "json":
        from nas.nn.network import load_weights

        path = Path(source, WEIGHTS) if os.path.isdir(source) else Path(source)
        weights, origin = load_weights(path, arch)
        provenance |= {"arch": arch.digest, "origin": origin, "file": path.name}
    for line in export(arch, out, weights=weights, provenance=provenance):
        print(line)


def _run_of(text: str) -> dict[str, str]:
    """Return the name and the seed of the run or training that `text` names, nothing where it names none."""
    stored = next((Path(text, name) for name in ("train.json", "best.json") if os.path.isfile(Path(text, name))), None)
    if stored is None:
        return {}
    from nas.files import read_json

    data = read_json(stored)
    return {"run": Path(text).resolve().name, "seed": str((data.get("settings") or data).get("seed", "unknown"))}
