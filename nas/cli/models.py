"""From device flags to a latency model, and from the name of a target to the images in its latencies."""

import argparse
from contextlib import suppress

from latency_models.roofline import Roofline
from latency_models.target import abstract_target, load_target
from nas.cli.flags.shared import device_flags
from nas.errors import InvalidInput
from nas.space.scaling import with_input
from nas.zoo import reference

REFERENCE = "mobilenetv4-conv-s"  # what the latencies of an abstract device are relative to


def latency_model(args: argparse.Namespace, side: int, channels: int, num_classes: int) -> Roofline | None:
    """Return the latency model that the device flags name, None where they name none.

    On an abstract device without a peak, latencies are relative to the reference network at that input of `side` px
    and with that many classes.
    """
    target = device_flags(args)
    if target is not None:
        return load_target(target).model(args.latency_model)
    if args.ridge_point is None:
        return None
    scale = with_input(reference(REFERENCE), side, channels, num_classes)
    return abstract_target(args.ridge_point, args.peak_gmacs_per_s, scale)


def images_in_latency(target: str) -> int:
    """Return the images in a latency on a target of that name, 1 where none has it."""
    with suppress(InvalidInput, LookupError):
        return load_target(target).batch
    return 1
