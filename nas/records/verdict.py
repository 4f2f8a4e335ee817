"""The file verdict.json of a run: whether the network found is better than a baseline, both trained alone."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nas.files import dump_json, write_whole
from nas.records.results import TOP1, Score, accuracy_from, share_text
from nas.records.typed import Count, NonNegative, Positive, read_versioned, refused, typed

SCHEMA, VERSION = "nas.verdict", 1
FILE = "verdict.json"
EQUAL = 0.02  # relative difference up to which two latencies count as equal
CLEAR = 2.0  # standard errors from which a difference is resolved


@dataclass(frozen=True)
class Trained:
    """One of the two networks: what it is, its latency on the target, the accuracy of its proxy trained alone."""

    name: str
    digest: str
    latency: Positive
    accuracy: Score


@dataclass(frozen=True)
class Verdict:
    """The network found against a baseline, their proxies trained alone with the same images, seed and steps."""

    found: Trained
    baseline: Trained
    latency_unit: str
    steps: Count
    seed: Count
    difference: float  # of top-1, found less baseline, as a fraction
    difference_error: NonNegative  # one standard error of it, on the same images

    @property
    def is_resolved(self) -> bool:
        """Whether the difference is clear of the noise of the images."""
        return abs(self.difference) > CLEAR * self.difference_error

    @property
    def equal_latency(self) -> bool:
        """Whether the two have the same latency, near enough."""
        return abs(self.found.latency / self.baseline.latency - 1) <= EQUAL

    @property
    def text(self) -> str:
        """The verdict in one sentence."""
        name, unit = self.baseline.name, self.latency_unit
        where = f"{self.found.latency:.4g} against {self.baseline.latency:.4g} {unit}"
        where = f"equal latency ({where})" if self.equal_latency else where
        if self.found.digest == self.baseline.digest:
            return f"the network found is {name} itself"
        points = self._points(f"{100 * abs(self.difference):.1f}", f"{abs(self.difference):.3f}")
        if not self.is_resolved:
            signed = self._points(f"{100 * self.difference:+.1f}", f"{self.difference:+.3f}")
            return f"cannot tell whether it is better than {name} at {where}: {signed}"
        return f"{'better' if self.difference > 0 else 'worse'} than {name} at {where} by {points}"

    def _points(self, in_points: str, plain: str) -> str:
        """Return a difference with its error in points of top-1, or as a number of another metric."""
        kind = self.found.accuracy.kind
        if kind.metric == TOP1:
            return f"{in_points} ± {100 * self.difference_error:.1f} points"
        return f"{plain} ± {self.difference_error:.3f} of {kind.title}"

    @property
    def basis(self) -> str:
        """What the verdict rests on, in one sentence."""
        shown = [share_text(one.accuracy.value, one.accuracy.kind.metric, 1) for one in (self.found, self.baseline)]
        return (
            f"proxies of both trained alone, {self.steps:,} steps each from random weights with seed {self.seed}, on "
            f"the search's {self.found.accuracy.examples:,} validation images: {shown[0]} against "
            f"{shown[1]}; one training each, another seed may move either"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        body = asdict(self) | {"found": _trained(self.found), "baseline": _trained(self.baseline)}
        return {"schema": SCHEMA, "version": VERSION, "verdict": self.text, "basis": self.basis, **body}


def _trained(one: Trained) -> dict[str, Any]:
    return asdict(one) | {"accuracy": one.accuracy.to_dict()}


def save_verdict(verdict: Verdict, run: Path) -> None:
    """Write verdict.json into the folder of a run."""
    write_whole(run / FILE, dump_json(verdict.to_dict()))


def load_verdict(run: Path) -> Verdict | None:
    """Return the verdict of a run, None where it has none: preset smoke, an older release, or not that far yet.

    `InvalidInput` where the file was altered.
    """
    path = run / FILE
    if not path.exists():
        return None
    with refused(path, "the verdict of a search"):
        data = read_versioned(path, SCHEMA, VERSION)
        both = {
            name: typed(Trained, data[name] | {"accuracy": accuracy_from(data[name]["accuracy"])})
            for name in ("found", "baseline")
        }
        return typed(Verdict, {field.name: data[field.name] for field in fields(Verdict)} | both)
