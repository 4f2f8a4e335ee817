"""Which networks of a front cannot be told from a faster one, given the standard errors of their accuracies."""

import math
from collections.abc import Sequence


def within_noise_of_faster(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each (accuracy, standard error), the fastest network first, whether a faster one is about as accurate.

    That is: the gain over the last network that stood out is less than one standard error, the larger of the two.
    """
    found, (kept, error) = [], (-math.inf, 0.0)
    for top1, own in points:
        found.append(top1 - kept < max(error, own))
        if not found[-1]:
            kept, error = top1, own
    return found
