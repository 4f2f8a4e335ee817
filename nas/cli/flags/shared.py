"""Flags that several commands take, and what they mean together."""

import argparse
from typing import Any, TypeAlias

from nas.cli.argument_types import count, fraction_to_half, grey_level, names, non_negative, positive, share, text
from nas.errors import InvalidInput
from nas.records.named_code import FLAGS
from nas.registry import ARGUMENTS, DEFAULT_TARGET
from nas.training.recipe_names import recipe_names

Container: TypeAlias = argparse._ActionsContainer  # a parser, or a group of its flags
SPEC_OR_RUN = (
    "reference network (nas zoo; NAME@WIDTH,PXpx too), JSON spec, or folder of a run or training; RUN@2.5ms: the "
    "network for that latency of a run with --front"
)
# Fields of nas.data.Preparation.
PREPARATION = (
    "fit", "background", "augment_shift", "flip", "class_weights", "data_kind", "group", "sample_rate", "clip_seconds",
    "keywords", "silence", "augment_gain_db", "augment_noise", "augment_time_mask", "augment_band_mask",
    "task",
)  # fmt: skip
TASK_NAMES = ("classification", "regression", "regression-mae", "regression-ccc", "multi-label")  # nas.tasks.TASKS
IMAGENET_PX = 224  # side of a target network's images, where no flag says


def add_spec(flags: Container) -> None:
    """Add the network that a command is about."""
    flags.add_argument("spec", type=network, metavar="SPEC|RUN", help=SPEC_OR_RUN)


def network(word: str) -> str:
    """Return the name of a network as it is, but of a point on the front of a run, RUN@2.5ms, its spec file."""
    path = text(word)
    if "@" not in path:
        return path
    from nas.records.front import spec_of_point  # rarely needed

    try:
        return spec_of_point(path)
    except InvalidInput as error:  # argparse has words of its own for a ValueError
        raise argparse.ArgumentTypeError(str(error)) from error


def add_json(flags: Container) -> None:
    """Add the flag for scripts."""
    flags.add_argument("--json", action="store_true", help="print JSON and nothing else")


def add_track(flags: Container) -> None:
    """Add the flag that names trackers."""
    flags.add_argument(
        "--track", action="append", default=[], metavar="T",
        help="also to tensorboard, mlflow or wandb, or package.module:ATTRIBUTE; may be given several times",
    )  # fmt: skip


def add_plan(flags: Container) -> None:
    """Add the flag that asks what would be done."""
    flags.add_argument("--plan", action="store_true", help="print what would be done, and do and write nothing")


def add_data(flags: Container, *, default: str) -> None:
    """Add the flags that name the images; --data stays None where it is not given, `default` says what that means."""
    flags.add_argument("--data", metavar="D", help=f"name, .npz or .csv file, or folder (default: {default})")
    add_data_dir(flags)


def add_moved_data(flags: Container) -> None:
    """Add the flag that says where the images of a run are now."""
    flags.add_argument("--data", metavar="D", help="where its images are now (default: where they were, or beside it)")


def add_code_of_run(flags: Container, *settings: str) -> None:
    """Add the flags that repeat what the settings of a run name as code, which runs only then; by default all."""
    flag = {name: FLAGS[name] for name in settings or FLAGS if name != "data"}
    for name in flag:
        flags.add_argument(flag[name], metavar="M:A", help=f"its {ARGUMENTS[name]}, where it names code for that")


def add_accept_changes(flags: Container) -> None:
    """Add the flag that goes on with a run although something that it depends on has changed."""
    flags.add_argument(
        "--accept-changes", action="store_true",
        help="go on although target, space, forests, data or settings have changed, and record it",
    )  # fmt: skip


def add_data_dir(flags: Container) -> None:
    """Add the flag that says where published data sets lie."""
    flags.add_argument("--data-dir", metavar="DIR", help="where published files lie (NAS_DATA_DIR, ~/.cache/nas)")


def add_preparation(flags: Container, *, default: str) -> None:
    """Add the flags that say how images are prepared; what is not given stays None, `default` says what that means."""
    flags.add_argument(
        "--fit", choices=("crop", "pad", "squash"),
        help="how the images of a folder get the input's proportions: the centre is cropped, or all is padded or "
        f"squashed (default: {default}crop)",
    )  # fmt: skip
    flags.add_argument(
        "--background", type=grey_level, metavar="G",
        help="behind transparent pixels and beside padded images: white, black or 0 to 255 (default: white)",
    )  # fmt: skip
    flags.add_argument(
        "--augment-shift", type=fraction_to_half, metavar="X",
        help="training images are shifted by up to this share of each side (default: by the data set; files 0.125)",
    )  # fmt: skip
    flags.add_argument(
        "--flip", action=argparse.BooleanOptionalAction,
        help="mirror training images left to right at random (default: by the data set; files: no)",
    )  # fmt: skip
    flags.add_argument(
        "--data-kind", choices=("images", "maps", "sequences", "waveforms"),
        help="what the arrays of an .npz file are, where that is not told by shape and type: maps [N,H,W,C] and "
        "sequences [N,T,C] hold numbers of any range, waveforms [N,T] have a sample_rate in the file",
    )  # fmt: skip
    flags.add_argument(
        "--task", choices=TASK_NAMES,
        help="what is learnt, where type and shape of y in an .npz file do not tell: whole numbers [N] are classes, 0 "
        "and 1 [N,K] several labels, floats regression with the loss MSE; -mae and -ccc are other losses",
    )  # fmt: skip
    flags.add_argument(
        "--class-weights", choices=("balanced",), help="images of rare classes count more in the loss (default: alike)"
    )
    flags.add_argument(
        "--group", type=text, metavar="KEY",
        help="validation and test sets hold other groups than the training set, a test set that shares some moves: "
        "speaker, say, keys KEY_train and KEY_test of an .npz file, or what stands in front of _nohash_ in .wav files",
    )  # fmt: skip
    flags.add_argument(
        "--sample-rate", type=count, metavar="HZ", help="resample the .wav files of a folder (default: their own)"
    )
    flags.add_argument(
        "--clip-seconds", type=positive, metavar="S", help="length of .wav files (default: that of the longest)"
    )
    flags.add_argument(
        "--keywords", type=names, metavar="W,...", help="words that are classes; a part of the others is 'unknown'"
    )
    flags.add_argument(
        "--silence", action=argparse.BooleanOptionalAction,
        help="silence as a class, of the folder _background_noise_ or of quiet noise (default: no)",
    )  # fmt: skip
    flags.add_argument(
        "--augment-gain-db", type=non_negative, metavar="X", help="sounds louder or quieter by up to X (default: 6)"
    )
    flags.add_argument(
        "--augment-noise", type=non_negative, metavar="X",
        help="white noise in sounds, standard deviation up to X of full scale (default: 0.003)",
    )  # fmt: skip
    for what in ("time", "band"):
        flags.add_argument(
            f"--augment-{what}-mask", type=fraction_to_half, metavar="X",
            help=f"hide a span of the {what}s of sounds and maps, up to this share (default: sounds 0.1, maps 0)",
        )  # fmt: skip


def preparation(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of `nas.data.Preparation` that the flags of `add_preparation` ask for, None for the others."""
    return {name: getattr(args, name) for name in PREPARATION}


def add_latency_model(flags: Container) -> None:
    """Add the flag that chooses how a target predicts latency."""
    flags.add_argument("--latency-model", default="default", metavar="M", help="default, or plain-roofline")


def add_device(flags: Container, *, default: str | None = DEFAULT_TARGET, stated: str | None = None) -> None:
    """Add the flags that name the device whose latency counts; `device_flags` checks that they go together."""
    words = stated or default
    note = f" (default: {words})" if words else ""
    flags.add_argument("--target", metavar="T", help=f"device, see nas targets, or a .toml file of your own{note}")
    flags.add_argument("--ridge-point", type=non_negative, metavar="X", help="abstract device instead, MACs per byte")
    flags.add_argument(
        "--peak-gmacs-per-s", type=positive, metavar="P", help="of the abstract device: latencies in ms, not ratios"
    )
    add_latency_model(flags)
    flags.set_defaults(default_target=default)


def device_flags(args: argparse.Namespace) -> str | None:
    """Return the target that `args` name, None for an abstract device or none; refuse flags that contradict."""
    target: str | None = args.target or args.default_target
    return target if args.ridge_point is None else None


def add_training(flags: Container, *, epochs: str = "", by_recipe: bool = False) -> None:
    """Add the flags of a training's length and steps; `epochs` says what its number is of.

    With `by_recipe` they are None where they are not given, and a recipe says them.
    """
    by, own = ("by the recipe; ", "by the recipe; AdamW's own") if by_recipe else ("", "AdamW's own")
    lengths = (None, None) if by_recipe else (30, 128)
    flags.add_argument("--epochs", type=count, default=lengths[0], metavar="N", help=f"{epochs}(default: {by}30)")
    flags.add_argument(
        "--batch-size", type=count, default=lengths[1], metavar="N", help=f"images per step (default: {by}128)"
    )
    flags.add_argument("--learning-rate", type=positive, metavar="X", help=f"peak of the schedule (default: {own})")


def add_recipe(flags: Container) -> None:
    """Add the flag that names how a network is trained."""
    flags.add_argument(
        "--recipe",
        metavar="R",
        help=f"{', '.join(recipe_names())}, or a .toml file; other flags override it (default: ours)",
    )


def add_teachers(flags: Container) -> None:
    """Add the flags of who teaches in a training; `check_teachers` checks that they go together."""
    flags.add_argument("--teacher", metavar="T", help="a training, a run, or NETWORK=FILE of weights to learn from")
    flags.add_argument("--teacher-share", type=share, metavar="X", help="of the loss, beside labels (default: 0.5)")
    flags.add_argument("--temperature", type=float, metavar="T", help="of both answers (default: 2)")
    flags.add_argument(
        "--tolerant-teacher", metavar="T", help="a second teacher, of regression, trained on smoothed targets"
    )


def check_teachers(args: argparse.Namespace) -> None:
    """Refuse flags of `add_teachers` that contradict each other."""
    weighted = args.teacher_share is not None or args.temperature is not None
    if args.teacher is None and weighted:
        raise InvalidInput("--teacher-share and --temperature go with --teacher")
    if args.tolerant_teacher and not args.teacher:
        raise InvalidInput("--tolerant-teacher stands beside --teacher, the tough one; give both")
    if args.tolerant_teacher and weighted:
        raise InvalidInput("two teachers have weights of their own: leave --teacher-share and --temperature out")


def add_ranges(flags: Container) -> None:
    """Add the flags that say where the ranges of int8 activations come from; `add_quantisation` has all."""
    flags.add_argument(
        "--calibration", metavar="D", help="images for int8: name, .npz file or folder (default: those of the training)"
    )
    flags.add_argument(
        "--calibration-method", metavar="M",
        help="ranges of the activations: max, entropy, percentile-99.99 or percentile-99.999 (default: those of nas "
        "train --quantize int8 where there are any, else max as the format's own tool has it)",
    )  # fmt: skip
    flags.add_argument("--calibration-images", type=count, metavar="N", help="how many images give them (default: 256)")


def add_quantisation(flags: Container) -> None:
    """Add the flags of an int8 file."""
    flags.add_argument("--quantize", metavar="Q", help="int8, for onnx and tflite")
    add_ranges(flags)
    flags.add_argument(
        "--keep-float", action="append", default=[], metavar="LAYER",
        help="keep a layer or block in float32: a name that nas sensitivity lists; may be repeated",
    )  # fmt: skip
    flags.add_argument(
        "--max-drop-points", type=non_negative, metavar="X",
        help="keep the layers that lose most in float32, until at most X percentage points of accuracy are lost",
    )  # fmt: skip


def add_search_workers(flags: Container) -> None:
    """Add the flags that say who evaluates the candidates of a search."""
    flags.add_argument(
        "--workers", type=count, metavar="N", help="Ray processes that evaluate candidates; joint: that train finalists"
    )
    flags.add_argument("--ray-address", metavar="ADDR", help="of a Ray cluster to do that on")
