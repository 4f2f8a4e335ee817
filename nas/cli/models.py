"""From device flags to a latency model."""

import argparse

from latency_models.roofline import Roofline
from latency_models.target import abstract_target, load_target
from nas.cli.flags.shared import device_flags
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
