"""The baseline beside a network found: rebuilt for the same input, with its accuracy where the run trained it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.arch import ArchSpec, load_arch
from nas.errors import InvalidInput, UnknownName
from nas.ops import LogMel
from nas.records.networks import Entry
from nas.records.picks import Picks
from nas.records.results import Result, Score
from nas.records.verdict import Verdict
from nas.space.scaling import behind_log_mel, scale_width, with_input
from nas.zoo import reference

REFERENCE = "mobilenetv4-conv-s"  # the baseline of runs that name none
WIDER = " x"  # before the width multiplier in the name of a baseline: "mobilenetv4-conv-s x1.10"


@dataclass(frozen=True)
class Beside:
    """The entries that a report adds to those of a run, and which two of all stand side by side.

    `baseline` is None where it cannot be rebuilt; `trained` holds the network found and the baseline with the
    accuracies by which they were compared.
    """

    baseline: Entry | None
    trained: tuple[Entry, ...] = ()

    @property
    def entries(self) -> list[Entry]:
        """All of them, the two that were trained last."""
        return [*([self.baseline] if self.baseline else []), *self.trained]


def beside(result: Result, verdict: Verdict | None, drop_strides: bool = False) -> Beside:
    """Return the baseline beside the network of a finished run, with their accuracies where the run has a verdict.

    `drop_strides` is the setting of the run: whether small images drop early strides.
    """
    name = verdict.baseline.name if verdict else REFERENCE
    arch = baseline_arch(result, name, drop_strides)
    if arch is None or (verdict and arch.digest != verdict.baseline.digest):
        return Beside(None)
    label = f"{name}, baseline"
    entry = Entry(label, label, "reference", arch)
    if verdict is None or verdict.found.digest != result.arch.digest:
        return Beside(entry)
    found = Entry("found, trained alone", "found, trained alone", "run", result.arch, verdict.found.accuracy)
    alone = f"{label}, trained alone"
    return Beside(entry, (found, Entry(alone, alone, "spec", arch, verdict.baseline.accuracy)))


def baseline_arch(result: Result, name: str, drop_strides: bool = False) -> ArchSpec | None:
    """Return the baseline `name`, with or without a width multiplier, for the input of `result`; None for no such."""
    shape, classes = result.arch.input_shape, result.arch.num_classes
    first = next(op for _, op, _ in result.arch.iter_ops())
    base, _, factor = name.partition(WIDER)
    try:
        if isinstance(first, LogMel):
            whole = behind_log_mel(reference(base), shape.height, first.sample_rate, classes, first.transform)
        else:
            whole = with_input(reference(base), shape.size, shape.channels, classes, drop_strides)
        return scale_width(whole, float(factor)) if factor else whole
    except (InvalidInput, UnknownName, ValueError):
        return None


def pick_entries(run: Path, label: str, result: Result, picks: Picks | None, known: Sequence[Entry]) -> list[Entry]:
    """Return the entries of the picks whose networks are not among the `known`; `InvalidInput` for a missing spec."""
    seen = {entry.arch.digest for entry in known}
    found = []
    for pick in picks.picks if picks else ():
        if pick.digest not in seen:
            images = picks.images if picks else 0
            accuracy = Score.of(pick.top1, images, result.accuracy.kind, pick.standard_error)
            name = f"{label}/{pick.digest[:8]}"
            arch = load_arch(run / pick.spec)
            if arch.digest != pick.digest:
                raise InvalidInput(f"{run / pick.spec} is not the network of picks.json: the files were altered")
            found.append(Entry(label, name, "run", arch, accuracy, chosen=False, found_for=result.target))
    return found


def compared_data(verdict: Verdict, left: int, right: int) -> dict[str, Any]:
    """Return the difference of accuracy between two networks of a page, `right` less `left`, with its error."""
    return {"left": left, "right": right, "difference": -verdict.difference, "error": verdict.difference_error}
