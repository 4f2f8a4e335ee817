"""nas reinforce: its flags."""

import argparse
from pathlib import Path

from nas.cli.argument_types import count, grey_level, resolution, seed, share, whole
from nas.cli.flags.shared import add_json, add_plan
from nas.cli.folders import default_folder

DESCRIPTION = """\
Show augmented images to a trained network, the teacher, and store how each was
augmented beside what the teacher says of it. Trainings and searches with --data
SET then replay the same images to the bit and learn from the teacher, who is not
needed any more (Dataset Reinforcement, arXiv 2303.08983; MobileNetV4's offline
distillation). Started again with the same flags, it goes on where it was
stopped."""
EXAMPLE = "nas reinforce digits --teacher runs/teacher --samples 16 --out digits-reinforced"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    data = parser.add_argument_group("data and teachers")
    data.add_argument(
        "images", metavar="DATA", help="data set of images: a name, an .npz file, or a folder of class folders of files"
    )
    data.add_argument("--data-dir", metavar="DIR", help="folder of published files of data sets")
    data.add_argument(
        "--resolution", type=resolution, metavar="N|HxW",
        help="size in px at which images are augmented and shown to the teacher; trainings at this size replay them to "
        "the bit, at others the same crops of theirs (default: that of the data set; of files their median, at most "
        "224)",
    )  # fmt: skip
    data.add_argument(
        "--fit", choices=("crop", "pad", "squash"),
        help="how image files get the proportions of that size (default: crop)",
    )  # fmt: skip
    data.add_argument(
        "--background", type=grey_level, metavar="G",
        help="behind transparent pixels and beside padded images: white, black or 0 to 255 (default: white)",
    )  # fmt: skip
    data.add_argument(
        "--teacher", action="append", required=True, metavar="T", dest="teachers",
        help="a training, a run, or NETWORK=FILE of weights; given again, what they say is averaged",
    )  # fmt: skip
    amount = parser.add_argument_group("samples")
    amount.add_argument("--samples", type=count, default=16, metavar="S", help="of each image (default: 16)")
    amount.add_argument("--top-k", type=count, default=10, metavar="K", help="probabilities kept (default: 10)")
    amount.add_argument(
        "--crop-area", type=share, default=0.4, metavar="A", help="smallest share of an image in a crop (default: 0.4)"
    )
    amount.add_argument("--magnitude", type=whole, default=5, metavar="M", help="of RandAugment, to 10 (default: 5)")
    amount.add_argument(
        "--flip",
        action=argparse.BooleanOptionalAction,
        help="mirror images (default: as the data set does)",
    )
    amount.add_argument(
        "--mixed", type=float, default=0.5, metavar="X", help="share of samples of two mixed images (default: 0.5)"
    )
    amount.add_argument("--seed", type=seed, default=0, metavar="N", help="(default: 0)")
    place = parser.add_argument_group("where it runs")
    place.add_argument("--workers", type=count, metavar="N", help="Ray workers (default: this process, no Ray)")
    place.add_argument("--ray-address", metavar="A", help="of a Ray cluster that shares this storage")
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="SET", help="folder, new or begun (default: runs/DATA-reinforced-sN)")
    add_plan(output)
    add_json(output)


def out_folder(args: argparse.Namespace) -> Path:
    """Return the folder of the reinforced data set."""
    return Path(args.out) if args.out else default_folder(Path(args.images).stem, "reinforced", f"s{args.seed}")
