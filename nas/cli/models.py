"""From device flags to a latency model, and from the name of a target to the images in its latencies."""

import argparse
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from latency_models.roofline import Roofline
from latency_models.target import abstract_target, load_target
from nas.cli.flags.shared import device_flags
from nas.errors import InvalidInput
from nas.ops import SizeLike
from nas.records.experiment import read_experiment
from nas.records.front import spec_of_point
from nas.records.networks import UNIVERSAL
from nas.records.trainings import run_of_spec
from nas.records.typed import check_fields, refused
from nas.space.scaling import with_input
from nas.zoo import reference

SETTING_KINDS = {  # of the settings of a run that are read here
    "target": str | None, "ridge_point": float | None, "peak_gmacs_per_s": float | None, "latency_model": str,
    "data": str,
}  # fmt: skip
RESULTS = ("best.json", "coarse.json")  # files of a run that hold a network each
REFERENCE = "mobilenetv4-conv-s"  # what the latencies of an abstract device are relative to


def latency_model(args: argparse.Namespace, size: SizeLike, channels: int, num_classes: int) -> Roofline | None:
    """Return the latency model that the device flags name, None where they name none.

    On an abstract device without a peak, latencies are relative to the reference network at that input
    and with that many classes.
    """
    target = device_flags(args)
    if target is not None:
        return load_target(target).model(args.latency_model)
    if args.ridge_point is None:
        return None
    scale = with_input(reference(REFERENCE), size, channels, num_classes)
    return abstract_target(args.ridge_point, args.peak_gmacs_per_s, scale)


def images_in_latency(target: str) -> int:
    """Return the images in a latency on a target of that name, 1 where none has it."""
    with suppress(InvalidInput, LookupError):
        return load_target(target).batch
    return 1


def with_device_of(args: argparse.Namespace, network: str) -> argparse.Namespace:
    """Return `args` with the device of the run in the folder `network`, where the flags name none."""
    runs = [] if args.target or args.ridge_point is not None else searched_settings(network)
    if len(runs) != 1 or args.peak_gmacs_per_s is not None:
        return args
    device = {name: runs[0].get(name) for name in ("target", "ridge_point", "peak_gmacs_per_s")}
    if args.latency_model == "default" and device["target"]:
        device["latency_model"] = runs[0].get("latency_model", "default")
    return argparse.Namespace(**vars(args) | device)


def targets_of(networks: Iterable[str]) -> tuple[str, ...]:
    """Return the targets of the runs among `networks`, each once; none where none of them is of a run."""
    targets = (settings.get("target") for network in networks for settings in searched_settings(network))
    return tuple(dict.fromkeys(str(target) for target in targets if target))


def searched_settings(network: str) -> list[dict[str, Any]]:
    """Return the settings of the run in the folder `network`, one per target; none where it is no run.

    A network of the front of a run, RUN@LATENCY or its spec file, has the settings of that run; RUN/best.json too.
    """
    network = spec_of_point(network)
    folder = run_of_spec(network) or Path(network)
    path = (folder.parent if folder.name in RESULTS and folder.is_file() else folder) / "experiment.json"
    if not path.is_file() and path.parent.name == UNIVERSAL:
        path = path.parent.parent / path.name
    if not path.is_file():
        return []
    stored = read_experiment(path.parent)
    several = stored.get("request")
    found = several.get("settings") if isinstance(several, dict) else [stored.get("settings")]
    runs = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    with refused(path, "settings of a search"):
        for settings in runs:
            check_fields(settings, SETTING_KINDS)
    return runs
