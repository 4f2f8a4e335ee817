"""The file front.json of a run that searched for a whole front: its latency budgets and the network that answers each.

`RUN@2.5ms` names the network of such a run for at most 2.5 ms; RUN alone is the one of best.json.
"""

import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas.errors import InvalidInput
from nas.files import dump_json, write_whole
from nas.records.typed import Count, Fraction, NonNegative, Positive, PositiveCount, read_versioned, refused, typed
from nas.records.units import TIME, read_quantity

SCHEMA, VERSION = "nas.front", 1
FILE = "front.json"
AT = "@"  # between a run and a latency budget
ROUNDING = 1e-9  # relative: a budget may be met exactly


@dataclass(frozen=True)
class FrontPoint:
    """The answer of one latency budget: the most accurate network found of at most that latency."""

    latency_budget: Positive
    digest: str
    spec: str  # its file, relative to the run folder
    latency: Positive
    top1: Fraction
    standard_error: Fraction
    luck: float  # by how much the highest of the scores flatters at most, as a fraction
    candidates: Count  # evaluated networks near the budget
    macs: Count
    params: Count


@dataclass(frozen=True)
class Front:
    """The answers of rising latency budgets; one network may answer several, where no slower one is more accurate."""

    accuracy_kind: str
    images: PositiveCount  # validation images of every accuracy
    latency_unit: str
    reachable: tuple[NonNegative, NonNegative]  # latencies in the space
    nearest: str  # the reference network to which the network of best.json is nearest in latency
    chosen: str  # the digest of that network
    points: tuple[FrontPoint, ...]

    @property
    def networks(self) -> tuple[FrontPoint, ...]:
        """Each network once, with the smallest of the budgets that it answers."""
        return tuple({point.digest: point for point in reversed(self.points)}.values())[::-1]

    def within(self, latency: float) -> FrontPoint | None:
        """Return the most accurate of the networks of at most `latency`, None where there is none."""
        kept = [one for one in self.networks if one.latency <= latency * (1 + ROUNDING)]
        return kept[-1] if kept else None

    @property
    def share_spanned(self) -> float:
        """The share of the range from the first budget to the last that the networks cover, in the logarithm.

        All of it where there is one budget only.
        """
        spanned = math.log(self.points[-1].latency / self.points[0].latency)
        asked = math.log(self.points[-1].latency_budget / self.points[0].latency_budget)
        return spanned / asked if asked else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"schema": SCHEMA, "version": VERSION, **asdict(self)}


def save_front(front: Front, run: Path) -> None:
    """Write front.json into the folder of a run."""
    write_whole(run / FILE, dump_json(front.to_dict()))


def load_front(run: Path) -> Front | None:
    """Return the front of a run, None where it searched for one latency only. `InvalidInput` for an altered file."""
    path = run / FILE
    if not path.exists():
        return None
    with refused(path, "the front of a search"):
        front = typed(Front, read_versioned(path, SCHEMA, VERSION))
        if not front.points:
            raise TypeError("it has no points")
        return front


def names_point(text: str) -> bool:
    """Return whether `text` is a folder, "@" and something behind it: a point of the front of a run."""
    run, at, _ = text.rpartition(AT)
    return bool(at) and os.path.isdir(run) and not os.path.lexists(text)


def spec_of_point(text: str) -> str:
    """Return the spec file of RUN@LATENCY, the most accurate network of that run within the latency; else `text`.

    `InvalidInput` in one line where the run has no front, or no network is that fast.
    """
    if not names_point(text):
        return text
    run, _, behind = text.rpartition(AT)
    front = load_front(Path(run))
    if front is None:
        several = sorted(path.parent for path in Path(run).glob(f"*/{FILE}"))
        if several:
            names = ", ".join(f"{folder}{AT}{behind}" for folder in several)
            raise InvalidInput(f"{run} has a front for each of several targets; name one: {names}")
        raise InvalidInput(
            f"{run} searched for one latency, so {AT}{behind} names nothing; search with --front, or leave it out"
        )
    point = front.within(_latency(behind, front, text))
    if point is None:
        raise InvalidInput(
            f"no network on the front of {run} takes at most {behind}; the fastest takes "
            f"{front.points[0].latency:.4g} {front.latency_unit}"
        )
    return os.path.join(run, point.spec)


def _latency(behind: str, front: Front, text: str) -> float:
    """Return the latency that stands behind "@", in the unit of the front."""
    found, has_unit = read_quantity(behind, TIME), behind.strip()[-1:].isalpha()
    if found is None or found <= 0 or (has_unit and front.latency_unit != "ms"):
        example = f"{front.points[-1].latency:.3g}{'ms' if front.latency_unit == 'ms' else ''}"
        raise InvalidInput(
            f"a latency in {front.latency_unit} must stand behind {AT}, such as {AT}{example}, got '{text}'"
        )
    return float(found)
