"""Choosing the best of noisy scores: which differences images can resolve, and what else is as good within the noise.

All accuracies here are taken on the same images, so that two of them are compared image by image.
"""

import math

RESOLVED = 0.05  # a difference of accuracies that validation images must be able to show, as a fraction


def worst_difference_error(images: int) -> float:
    """Return the largest standard error that the difference of two accuracies on `images` images can have.

    That of two independent ones of 50 %; those of similar networks, on the same images, are closer together.
    """
    return math.sqrt(2 * 0.25 / images)


def few_images_note(images: int) -> str | None:
    """Return a sentence where `images` validation images are too few to rank networks, else None.

    Too few are those on which one standard error of a difference may exceed `RESOLVED`: fewer than 200.
    """
    error = worst_difference_error(images)
    if error <= RESOLVED:
        return None
    return (
        f"{images:,} validation image{'s are' if images > 1 else ' is'} too few to rank networks: two accuracies on "
        f"them differ by {100 * error:.0f} points by chance alone (one standard error); add training images"
    )
