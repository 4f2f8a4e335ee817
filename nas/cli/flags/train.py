"""nas train: its flags, and which of them go together."""

import argparse
import os
from pathlib import Path

from nas.cli.argument_types import fraction_to_half, resolution, seed, share, whole
from nas.cli.flags.shared import (
    add_accept_changes,
    add_code_of_run,
    add_data,
    add_json,
    add_plan,
    add_preparation,
    add_recipe,
    add_spec,
    add_teachers,
    add_track,
    add_training,
    check_teachers,
)
from nas.cli.folders import base_name, check_new_folder, default_folder, holds_run
from nas.errors import InvalidInput
from nas.records.experiment import read_experiment
from nas.records.named_code import check_repeated
from nas.registry import DATA_SETS

DESTINATION = {"--weights": "weights", "--from": "source", "--from-supernet": "from_supernet"}
DESCRIPTION = """\
Train one network alone and measure its score on the test images: top-1 of
classes, see --task for others. Started again with the same flags and folder, it
goes on where it was stopped."""
EXAMPLE = "nas train mobilenetv4-conv-s --data digits --proxy --epochs 30"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    network = parser.add_argument_group("what to train")
    add_spec(network)
    network.add_argument("--proxy", action="store_true", help="train the small proxy, not the target network")
    network.add_argument(
        "--proxy-resolution", type=resolution, metavar="N|HxW", help="px of the proxy (default: that of the run)"
    )
    network.add_argument("--proxy-width", type=share, metavar="W", help="its width (default: that of the run)")
    network.add_argument(
        "--from-supernet", action="store_true", help="start from the weights of the run's supernet; needs --proxy"
    )
    network.add_argument(
        "--weights", metavar="W", help="start from what fits of a training, or of a file of weights: .safetensors, .pth"
    )
    network.add_argument(
        "--from", dest="source", metavar="TRAINING",
        help="start from what fits of a training on these or other data: the classifier of other classes is replaced",
    )  # fmt: skip
    network.add_argument(
        "--freeze-stages", type=whole, default=0, metavar="N",
        help="the first N stages keep their weights and statistics; needs weights to start from (default: 0)",
    )  # fmt: skip
    network.add_argument(
        "--lr-decay-per-stage", type=share, default=1.0, metavar="X",
        help="each stage learns at X times the rate of the next, the last one at X times that of the head (default: 1)",
    )  # fmt: skip
    add_accept_changes(network)
    add_code_of_run(parser.add_argument_group("code of yours that the run names"), "space", "target")
    data = parser.add_argument_group("data")
    add_data(data, default="that of the run, else digits")
    add_preparation(data, default="that of the run, else ")
    add_teachers(parser.add_argument_group("a teacher"))
    recipe = parser.add_argument_group("recipe")
    add_recipe(recipe)
    recipe.add_argument(
        "--validation", type=fraction_to_half, metavar="X",
        help="set this share of the training images aside, looked at after each epoch (default: by the recipe; 0)",
    )  # fmt: skip
    recipe.add_argument(
        "--patience", type=whole, metavar="N",
        help="end after N epochs without a better validation, with the best weights (default: by the recipe; never)",
    )  # fmt: skip
    recipe.add_argument(
        "--precision", choices=("auto", "float32", "bfloat16"), default="auto",
        help="of activations (default: auto, which is bfloat16 on a GPU or TPU and float32 on a CPU)",
    )  # fmt: skip
    budget = parser.add_argument_group("budget")
    add_training(budget, by_recipe=True)
    budget.add_argument("--seed", type=seed, default=0, metavar="N", help="(default: 0)")
    int8 = parser.add_argument_group("int8")
    int8.add_argument(
        "--quantize", metavar="Q", help="int8: the last steps round weights and activations as an int8 file does"
    )
    int8.add_argument("--qat-share", type=share, metavar="X", help="which share of the steps (default: 0.1)")
    int8.add_argument("--qat-rate", type=share, metavar="X", help="at which share of the learning rate (default: 0.01)")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", metavar="DIR", help="new folder, or one to go on with (default: runs/train-NAME-DATA-sN)"
    )
    add_track(output)
    add_plan(output)
    add_json(output)
    parser.set_defaults(check=check)


def check(args: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, a network or data of no known name, and an occupied folder."""
    if args.from_supernet and not holds_run(args.spec):
        raise InvalidInput("--from-supernet needs --proxy and the folder of a run: a supernet trains proxies")
    starts = [name for name in ("--weights", "--from", "--from-supernet") if getattr(args, DESTINATION[name])]
    if len(starts) > 1:
        raise InvalidInput(f"a training starts from one of {' and '.join(starts)}; give one")
    if args.freeze_stages and starts not in (["--weights"], ["--from"]):
        raise InvalidInput("--freeze-stages keeps trained weights: give --from TRAINING or --weights FILE too")
    check_teachers(args)
    check_repeated(read_experiment(Path(args.spec)) if holds_run(args.spec) else None, vars(args))
    from nas.records.networks import arch_of  # imports the zoo, which --help does without

    arch_of(args.spec)
    if args.out:
        check_out(Path(args.out))
    if args.data:
        _check_data(args.data)


def _check_data(text: str) -> None:
    """Refuse what is neither the name of a data set nor a file or folder that exists."""
    if text not in DATA_SETS and ":" not in text and not os.path.exists(os.path.expanduser(text)):
        from nas.data import load  # imports numpy

        load(text)  # raises the line that says what is wrong


def out_folder(args: argparse.Namespace, data: str) -> Path:
    """Return the folder of a training on `data`; without --out it is named after the settings that matter."""
    if args.out:
        return Path(args.out)
    proxy = ["proxy"] if args.proxy else []
    return default_folder("train", base_name(args.spec), *proxy, Path(data).stem, f"s{args.seed}")


def check_out(folder: Path) -> None:
    """Refuse a folder that can neither be made nor holds a training to go on with."""
    if not (folder / "settings.json").exists():
        check_new_folder(folder)
