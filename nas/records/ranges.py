"""The ranges of activations that a training for int8 ended with: ranges.json in its folder."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.errors import InvalidInput
from nas.files import dump_json, write_whole
from nas.records.typed import read_object

FILE, SCHEMA, VERSION = "ranges.json", "nas.ranges", 1
FIELDS: dict[str, Any] = {"schema": str, "version": int, "arch": str, "ranges": dict[str, tuple[float, ...]]}


def save_ranges(folder: Path, arch: str, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Write the ranges (lowest, highest value) of tensors by name; `arch` is the digest of the network."""
    body = {name: list(ends) for name, ends in sorted(ranges.items())}
    write_whole(folder / FILE, dump_json({"schema": SCHEMA, "version": VERSION, "arch": arch, "ranges": body}))


def ranges_of(folder: Path, arch: str) -> dict[str, tuple[float, float]] | None:
    """Return the ranges in the folder of a training for int8, None where it was none.

    `InvalidInput` where they are damaged or of another network than that of the digest `arch`.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    found = read_object(path, FIELDS, "the ranges of a training for int8", "train again")
    if found.get("schema") != SCHEMA or found.get("arch") != arch or "ranges" not in found:
        raise InvalidInput(f"{path} holds no ranges of this network; train again, or give --calibration-method")
    ranges = {}
    for name, ends in found["ranges"].items():
        if len(ends) != 2 or not -math.inf < ends[0] <= 0 <= ends[1] < math.inf:
            raise InvalidInput(f"{path}: the range of {name} must be two numbers around 0, got {list(ends)}")
        ranges[name] = (float(ends[0]), float(ends[1]))
    return ranges
