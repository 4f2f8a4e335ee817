"""The parser that complains in one line, and the types of arguments: each states what must hold and what came."""

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn

from nas.errors import InvalidInput

LARGEST_SEED = 2**31 - 1
Commands = Any  # what `add_subparsers` returns has no public name


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations whose errors are `InvalidInput`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"{message}; see {self.prog} --help")


def positive(text: str) -> float:
    """Return the positive finite number in `text`."""
    return _checked(text, float, lambda value: value > 0, "positive and finite")


def positives(text: str) -> tuple[float, ...]:
    """Return the positive finite numbers in the comma-separated `text`."""
    return tuple(positive(part.strip()) for part in text.split(","))


def non_negative(text: str) -> float:
    """Return the finite number of at least 0 in `text`."""
    return _checked(text, float, lambda value: value >= 0, "0 or more and finite")


def share(text: str) -> float:
    """Return the number above 0 and up to 1 in `text`."""
    return _checked(text, float, lambda value: 0 < value <= 1, "above 0 and at most 1")


def count(text: str) -> int:
    """Return the whole number of at least 1 in `text`; 1_000 and 4e6 are numbers too."""
    value = _checked(text, float, lambda value: value >= 1 and value == int(value), "a whole number of at least 1")
    return int(text) if text.isdecimal() else int(value)


def whole(text: str) -> int:
    """Return the whole number of at least 0 in `text`."""
    return int(_checked(text, int, lambda value: value >= 0, "a whole number of at least 0"))


def seed(text: str) -> int:
    """Return the whole number from 0 to `LARGEST_SEED` in `text`."""
    return int(_checked(text, int, lambda value: 0 <= value <= LARGEST_SEED, f"a whole number, 0 to {LARGEST_SEED}"))


def names(text: str) -> tuple[str, ...]:
    """Return the names in the comma-separated `text`."""
    found = tuple(part.strip() for part in text.split(","))
    if not all(found) or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"must be different names with commas between them, got '{text}'")
    return found


def _checked(text: str, kind: Callable[[str], float], holds: Callable[[float], bool], words: str) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and holds(value)):
        raise argparse.ArgumentTypeError(f"must be {words}, got '{text}'")
    return value


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the flag for scripts."""
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")


def add_data(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Add the flags that name the images; --data stays None where it is not given, `default` says what that means."""
    parser.add_argument("--data", metavar="D", help=f"name, .npz file or folder (default: {default})")
    parser.add_argument("--data-dir", metavar="DIR", help="where published files lie (NAS_DATA_DIR, ~/.cache/nas)")


def add_device(parser: argparse.ArgumentParser, *, default: str | None = "edgetpu") -> None:
    """Add the flags that name the device whose latency counts; `device_flags` checks that they go together."""
    stated = f" (default: {default})" if default else ""
    parser.add_argument("--target", metavar="T", help=f"device, see nas targets, or a .toml file of your own{stated}")
    parser.add_argument("--ridge-point", type=non_negative, metavar="X", help="abstract device instead, MACs per byte")
    parser.add_argument(
        "--peak-gmacs-per-s", type=positive, metavar="P", help="of the abstract device: latencies in ms, not ratios"
    )
    parser.add_argument("--latency-model", default="default", metavar="M", help="default, or plain-roofline")
    parser.set_defaults(default_target=default)


def device_flags(args: argparse.Namespace) -> str | None:
    """Return the target that `args` name, None for an abstract device or none; refuse flags that contradict."""
    if args.ridge_point is None:
        if args.peak_gmacs_per_s is not None:
            raise InvalidInput("--peak-gmacs-per-s belongs to --ridge-point; give both, or --target alone")
        target: str | None = args.target or args.default_target
        return target
    if args.target is not None:
        raise InvalidInput("--target and --ridge-point exclude each other; give one")
    if args.latency_model != "default":
        raise InvalidInput("--latency-model belongs to --target; --ridge-point is the plain roofline already")
    return None
