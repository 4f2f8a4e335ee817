"""Types of arguments: each returns the value in a text, or states what must hold and what came."""

import argparse
import math
import os
from collections.abc import Callable

from nas.cli.units import count as count  # for the flags, which take all their types from here
from nas.errors import InvalidInput
from nas.files import usable_path

LARGEST_SEED = 2**31 - 1


def text(word: str) -> str:
    """Return `word`, a name or a path, with "~" expanded: the type of every flag that states no other."""
    try:
        return usable_path(word)
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def new_file(word: str) -> str:
    """Return the path `word` where it ends in a name, as that of a new file or folder must."""
    path = text(word)
    if word and os.path.basename(os.path.normpath(path)) in ("", ".", ".."):
        raise argparse.ArgumentTypeError(f"must end in the name of a new file or folder, got '{word}'")
    return path


def positive(text: str) -> float:
    """Return the positive finite number in `text`."""
    return _checked(text, float, lambda value: value > 0, "positive and finite")


def non_negative(text: str) -> float:
    """Return the finite number of at least 0 in `text`."""
    return _checked(text, float, lambda value: value >= 0, "0 or more and finite")


def finite(text: str) -> float:
    """Return the finite number in `text`, which may be negative."""
    return _checked(text, float, lambda value: True, "a finite number")


def share(text: str) -> float:
    """Return the number above 0 and up to 1 in `text`."""
    return _checked(text, float, lambda value: 0 < value <= 1, "above 0 and at most 1")


def additional(text: str) -> int:
    """Return the whole number of at least 1 in `text`, "+200" say."""
    return count(text.removeprefix("+"))


def whole(text: str) -> int:
    """Return the whole number of at least 0 in `text`."""
    return int(_checked(text, int, lambda value: value >= 0, "a whole number of at least 0"))


def seed(text: str) -> int:
    """Return the whole number from 0 to `LARGEST_SEED` in `text`."""
    return int(_checked(text, int, lambda value: 0 <= value <= LARGEST_SEED, f"a whole number, 0 to {LARGEST_SEED}"))


def fraction_to_half(text: str) -> float:
    """Return the number from 0 to 0.5 in `text`."""
    return _checked(text, float, lambda value: 0 <= value <= 0.5, "a number from 0 to 0.5")


def grey_level(text: str) -> int:
    """Return the grey level, 0 to 255, in `text`: "white", "black" or a number."""
    named = {"black": "0", "white": "255"}.get(text.lower(), text)
    return int(_checked(named, int, lambda value: 0 <= value <= 255, "white, black or a whole number from 0 to 255"))


def resolution(text: str) -> int | str:
    """Return the resolution in `text`, "96" or HEIGHTxWIDTH such as "96x128": a number where it is square."""
    if "x" not in text:
        return count(text)
    from nas.ops.size import Size  # imports numpy, which --help does without

    try:
        return Size.of(text).json
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def names(listed: str) -> tuple[str, ...]:
    """Return the names in the comma-separated `listed`."""
    found = tuple(word.strip() for word in listed.split(","))
    if not all(found) or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"must be different names with commas between them, got '{listed}'")
    return tuple(map(text, found))


def positives(listed: str) -> tuple[float, ...]:
    """Return the different positive numbers in the comma-separated `listed`, ascending."""
    return tuple(sorted(map(positive, names(listed))))


def counts(listed: str) -> tuple[int, ...]:
    """Return the different whole numbers of at least 1 in the comma-separated `listed`, ascending."""
    return tuple(sorted(map(count, names(listed))))


def _checked(text: str, kind: Callable[[str], float], holds: Callable[[float], bool], words: str) -> float:
    try:
        value = kind(text)
        kept = math.isfinite(value) and holds(value)
    except (ValueError, OverflowError):  # no number, or a whole one that is beyond every float
        kept = False
    if not kept:
        raise argparse.ArgumentTypeError(f"must be {words}, got '{text}'")
    return value
