"""nas train: its flags, and which of them go together."""

import argparse
import os
from pathlib import Path

from nas.cli.argument_types import resolution, seed, share
from nas.cli.flags.shared import (
    add_accept_changes,
    add_code_of_run,
    add_data,
    add_json,
    add_plan,
    add_preparation,
    add_spec,
    add_track,
    add_training,
)
from nas.cli.folders import base_name, check_new_folder, default_folder, holds_run
from nas.errors import InvalidInput
from nas.records.experiment import read_experiment
from nas.records.named_code import check_repeated
from nas.registry import DATA_SETS

DESCRIPTION = """\
Train one network alone and measure its top-1 on the test images. Started again
with the same flags and folder, it goes on where it was stopped."""
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
    add_accept_changes(network)
    add_code_of_run(parser.add_argument_group("code of yours that the run names"), "space", "target")
    data = parser.add_argument_group("data")
    add_data(data, default="that of the run, else digits")
    add_preparation(data, default="that of the run, else ")
    taught = parser.add_argument_group("a teacher")
    taught.add_argument("--teacher", metavar="T", help="a training, a run, or NETWORK=FILE of weights to learn from")
    taught.add_argument("--teacher-share", type=share, metavar="X", help="of the loss, beside labels (default: 0.5)")
    taught.add_argument("--temperature", type=float, metavar="T", help="of both answers (default: 2)")
    budget = parser.add_argument_group("budget")
    add_training(budget)
    budget.add_argument("--seed", type=seed, default=0, metavar="N", help="(default: 0)")
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
    if args.teacher is None and (args.teacher_share is not None or args.temperature is not None):
        raise InvalidInput("--teacher-share and --temperature go with --teacher")
    if args.from_supernet and args.weights:
        raise InvalidInput("a training starts from --weights or from the supernet; give one")
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
