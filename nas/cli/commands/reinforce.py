"""nas reinforce: what teachers say of augmented images, stored beside how these were augmented."""

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from nas.cli.flags.reinforce import out_folder
from nas.cli.live import LiveReporter
from nas.cli.output import print_json, say
from nas.cli.planning import show_plan
from nas.cli.signals import interruptible
from nas.data import Dataset, Preparation, at_resolution, check_resolution, load
from nas.data.reinforced import FILE, PARTS, Reinforcement
from nas.data.replay import Recipe
from nas.errors import InvalidInput
from nas.files import CannotWrite
from nas.progress.time_left import Begun, Phase, Schedule
from nas.runs.reinforce import ReinforceConfig, load_teacher, reinforce, reinforcement
from nas.runs.workers import open_makers

GOES_ON = "the same command goes on from the last part"
STAGE = "reinforce"
PART_S = 10.0  # what a part is expected to take; the bar knows better once it moves


def run(args: argparse.Namespace) -> None:
    """Write the parts that are missing, then say how to use the data set."""
    out = out_folder(args)
    dataset = _dataset(args)
    flip = dataset.augmentation.flip if args.flip is None else args.flip
    recipe = Recipe((args.crop_area, 1.0), flip=flip, magnitude=args.magnitude, mixed=args.mixed)
    config = ReinforceConfig(tuple(args.teachers), args.samples, args.top_k, recipe, args.seed)
    teachers = [load_teacher(text, dataset) for text in config.teachers]
    about = reinforcement(args.images, dataset, config, teachers)
    makers = open_makers(args.workers, args.ray_address)
    if args.plan:
        show_plan(args, _plan(about), out, (FILE, PARTS))
        return
    try:
        with interruptible(lambda: GOES_ON), LiveReporter(sys.stderr if args.json else None) as reporter:
            reporter.plan(_plan(about))
            reporter.timing(Schedule((Phase(STAGE, about.parts, PART_S),)))
            reporter.timing(Begun(STAGE))
            reinforce(about, dataset, teachers, out, lambda *event: reporter.advance(STAGE, *event), makers)
    except CannotWrite as error:
        raise InvalidInput(f"{error}; then {GOES_ON}") from error
    if args.json:
        print_json({"folder": str(out), **about.to_dict()})
        return
    say(f"{about.images * about.samples:,} samples of {about.images:,} images in {out}")
    say(f"next: nas search --data {shlex.quote(str(out))}")


def _dataset(args: argparse.Namespace) -> Dataset:
    """Return the images at the size and with the framing that are asked for; their digest stays that of the data."""
    check_resolution(args.resolution)
    data_dir = Path(args.data_dir) if args.data_dir else None
    usual = Preparation()
    prepared = Preparation(
        fit=args.fit or usual.fit, background=usual.background if args.background is None else args.background
    )
    dataset = load(args.images, data_dir, preparation=prepared, proportions=args.resolution)
    if dataset.framing is None and (args.fit or args.background is not None):
        flag = "--fit" if args.fit else "--background"
        raise InvalidInput(f"{args.images} holds no image files, which alone are framed; leave {flag} out")
    if args.resolution is None:
        return dataset
    return replace(at_resolution(dataset, args.resolution), digest=dataset.digest)


def _plan(about: Reinforcement) -> list[str]:
    """Return lines on what will be made."""
    recipe, teachers = about.recipe, [f"{one.network} at {one.size} px" for one in about.teachers]
    mixed = f"{recipe.mixed:.0%} of them two images mixed, " if recipe.mixed else ""
    mirrored = "mirrored or not, " if recipe.flip else ""
    return [
        f"data {about.data}: {about.images:,} training images of {about.size} px, {about.classes} classes; the test "
        "images stay as they are",
        f"teacher{'s' if len(teachers) > 1 else ''}: {', '.join(teachers)}",
        f"{about.samples} samples of each image, {mixed}{mirrored}crops of {recipe.crop_area[0]:.0%} and more, "
        f"RandAugment of magnitude {recipe.magnitude} of 10; {about.top_k} probabilities of each",
    ]
