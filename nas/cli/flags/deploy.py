"""nas deploy: its flags, and which of them go together."""

import argparse
from pathlib import Path

from nas.cli.argument_types import count, seed
from nas.cli.flags.shared import (
    add_accept_changes,
    add_code_of_run,
    add_data,
    add_json,
    add_plan,
    add_preparation,
    add_quantisation,
    add_recipe,
    add_spec,
    add_teachers,
    add_training,
    check_teachers,
)
from nas.cli.folders import holds_run
from nas.errors import InvalidInput
from nas.records.experiment import read_experiment
from nas.records.named_code import check_repeated
from nas.registry import DEFAULT_FORMAT

DESCRIPTION = """\
Train the network of a run at full size, export it, check it, and write a card,
the class names and a predict.py that takes images, all into one folder. Started
again with the same flags, it goes on where it was stopped."""
EXAMPLE = "nas deploy runs/mine --format tflite --quantize int8"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    network = parser.add_argument_group("what to deploy")
    add_spec(network)
    network.add_argument(
        "--weights", metavar="W", help="start from what fits of a training, or of a file of weights: .safetensors, .pth"
    )
    network.add_argument(
        "--from-supernet", action="store_true", help="start from the run's supernet, whose proxies had full width"
    )
    add_accept_changes(network)
    add_code_of_run(parser.add_argument_group("code of yours that the run names"), "space", "target")
    data = parser.add_argument_group("data")
    add_data(data, default="that of the run, else digits")
    add_preparation(data, default="that of the run, else ")
    budget = parser.add_argument_group("training")
    add_recipe(budget)
    add_training(budget, by_recipe=True)
    budget.add_argument("--seed", type=seed, default=0, metavar="N", help="(default: 0)")
    add_teachers(parser.add_argument_group("a teacher"))
    export = parser.add_argument_group("export")
    export.add_argument(
        "--format",
        default=DEFAULT_FORMAT,
        metavar="F",
        help=f"tflite, onnx, stablehlo, flax or timm (default: {DEFAULT_FORMAT})",
    )
    add_quantisation(export)
    export.add_argument(
        "--input", default="float32", metavar="TYPE",
        help="of the images: float32, normalised, or uint8, normalised by the file (default: float32)",
    )  # fmt: skip
    export.add_argument("--opset", type=count, metavar="N", help="of onnx (default: the lowest that it needs)")
    export.add_argument("--measure", action="store_true", help="measure the latency on this host, for the card")
    output = parser.add_argument_group("output")
    output.add_argument("-o", "--out", metavar="DIR", help="folder (default: RUN-deployed, or runs/NAME-deployed)")
    add_plan(output)
    add_json(output)
    parser.set_defaults(check=check)


def check(args: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, and a network of no known name, before anything heavy is imported."""
    if args.from_supernet and not holds_run(args.spec):
        raise InvalidInput("--from-supernet needs the folder of a run")
    check_teachers(args)
    check_repeated(read_experiment(Path(args.spec)) if holds_run(args.spec) else None, vars(args))
    if args.out and Path(args.out).is_file():
        raise InvalidInput(f"{args.out} is a file; name a folder with --out")
    from nas.records.networks import arch_of  # imports the zoo, which --help does without

    arch_of(args.spec)
