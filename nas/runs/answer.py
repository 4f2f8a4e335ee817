"""The answer of a search: the most accurate of all candidates of one kind of accuracy that keep every bound.

It is dominated by none of them. Those within one standard error of the difference are as good as far as the validation
images can tell; a few that differ in size or latency are named beside it (picks.json).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec, save_arch
from nas.files import subfolder
from nas.records.picks import ANSWER, Pick, Picks, save_picks
from nas.records.results import AccuracyKind, Score, standard_error
from nas.runs.plan import SearchPlan
from nas.search.selection import (
    Hits,
    at_chance,
    luck,
    most_luck,
    paired_difference,
    picks,
    score_error,
    unpaired_difference,
)
from nas.tasks import clipped


@dataclass(frozen=True)
class Candidates:
    """N networks that keep every bound, with accuracies of one kind on the same images.

    They are in the order of their costs, that of `by_cost`: of equally accurate ones the first is the better.
    """

    archs: tuple[ArchSpec, ...]
    latencies: NDArray[np.float64]  # [N]
    correct: NDArray[np.float64]  # [N] images; not whole where accuracies are predicted
    images: int
    kind: AccuracyKind
    hits: Hits | None = None  # [N, images]: which images each classifies correctly, where that is known
    errors: NDArray[np.float64] | None = None  # [N]: standard errors, where they are not those of shares

    @property
    def best(self) -> int:
        """The number of the answer: the most accurate, of equals the fastest, then the smallest."""
        return int(np.argmax(self.correct))

    @property
    def luck(self) -> float:
        """By how much the score of the answer flatters it, as a fraction: at most, where only totals are known."""
        if self.hits is not None:
            return luck(self.hits)
        top1 = self.correct / self.images
        if self.errors is not None:
            return most_luck(top1, float(np.median(self.errors)))
        return most_luck(top1, standard_error(float(np.median(top1)), self.images))

    def difference(self, index: int) -> tuple[float, float]:
        """Return how much more accurate the answer is than candidate `index`, and the standard error of that."""
        if self.hits is not None:
            return paired_difference(self.hits[self.best], self.hits[index])
        correct = float(self.correct[self.best]), float(self.correct[index])
        if self.errors is not None:
            one, other = float(self.errors[self.best]), float(self.errors[index])
        else:
            one, other = (standard_error(count / self.images, self.images) for count in correct)
        return unpaired_difference(*correct, self.images, (one, other))

    def as_good(self) -> list[int]:
        """Return the candidates within one standard error of the answer, which comes first; then the most accurate."""
        order = np.argsort(-self.correct, kind="stable").tolist()
        return [i for i in order if i == self.best or self.difference(i)[0] <= self.difference(i)[1]]

    def pick(self, index: int, roles: Sequence[str]) -> Pick:
        """Return candidate `index` as a pick."""
        arch, own = self.archs[index], index == self.best
        difference, error = (0.0, 0.0) if own else self.difference(index)
        return Pick(
            ((ANSWER,) if own else ()) + tuple(roles), arch.digest, spec_path(arch), float(self.latencies[index]),
            float(self.correct[index]) / self.images, difference, error, arch.macs, arch.params,
            arch.peak_activation_elements, self.error(index),
        )  # fmt: skip

    def error(self, index: int) -> float | None:
        """Return the standard error of the score of candidate `index`, None for that of a share."""
        if self.errors is not None:
            return float(self.errors[index])
        return None if self.hits is None else score_error(self.hits[index])


def by_cost(
    archs: Sequence[ArchSpec], latencies: Sequence[float], correct: Sequence[float], images: int, kind: AccuracyKind,
    hits: Hits | None = None, errors: Sequence[float] | None = None,
) -> Candidates:  # fmt: skip
    """Return the candidates sorted by latency, then parameters, then digest, whatever order they come in."""
    keys = [(latency, arch.params, arch.digest) for latency, arch in zip(latencies, archs, strict=True)]
    order = sorted(range(len(keys)), key=lambda index: keys[index])
    return Candidates(
        tuple(archs[i] for i in order), np.asarray(latencies, np.float64)[order],
        np.asarray(correct, np.float64)[order], images, kind, None if hits is None else hits[order],
        None if errors is None else np.asarray(errors, np.float64)[order],
    )  # fmt: skip


def spec_path(arch: ArchSpec) -> str:
    """Return the file of an architecture's spec, relative to the run folder."""
    return f"specs/{arch.digest[:12]}.json"


def make_picks(plan: SearchPlan, found: Candidates) -> Picks:
    """Return how the answer was chosen among `found`, and the networks to name beside it."""
    as_good = found.as_good()
    costs = {
        "fastest": found.latencies,
        "fewest parameters": np.array([arch.params for arch in found.archs], np.float64),
        "fewest MACs": np.array([arch.macs for arch in found.archs], np.float64),
        "least memory": np.array([arch.peak_activation_elements for arch in found.archs], np.float64),
    }
    chosen = picks(as_good, costs)
    named = tuple(found.pick(index, roles) for index, roles in chosen.items())
    return Picks(
        found.kind.stored_label(), found.images, found.hits is not None, len(found.archs), len(as_good) - 1,
        found.luck, plan.model.unit, named,
    )  # fmt: skip


def write_picks(out: Path, found: Candidates, chosen: Picks) -> None:
    """Write picks.json into the run folder, and the spec of every pick into `specs`."""
    subfolder(out, "specs")
    specs = {arch.digest: arch for arch in found.archs}
    for one in chosen.picks:
        save_arch(specs[one.digest], out / one.spec)
    save_picks(chosen, out)


def learnt_nothing(plan: SearchPlan, score: Score, targets: NDArray[Any], luck: float = 0.0) -> str | None:
    """Return a sentence where a score less `luck` cannot be told from that of a constant answer; else None.

    `targets` are those of the images that the score was taken on.
    """
    value, task, outputs = score.value - luck, plan.dataset.task, plan.dataset.num_classes
    if task.outputs == "classes":
        return chance_note(value, score.examples, targets, outputs)
    constant = np.broadcast_to(task.constant(plan.dataset.y_train), (len(targets), outputs))
    of_constant = clipped(float(task.score.contributions(constant, task.scaled(targets)).mean()))
    if not at_chance(value, score.standard_error, of_constant):
        return None
    return (
        f"at chance level: {score.kind.title} {value:.3f} on {score.examples:,} validation images cannot be told from "
        f"the {of_constant:.3f} that always giving the same answer gets: nothing was learnt that these show; use a "
        "longer preset or more images"
    )


def chance_note(top1: float, images: int, labels: NDArray[np.integer], num_classes: int) -> str | None:
    """Return a sentence where an accuracy cannot be told from that of a constant answer on images with `labels`."""
    majority = float(np.bincount(labels).max() / len(labels))
    if not at_chance(top1, standard_error(top1, images), max(majority, 1 / num_classes)):
        return None
    return (
        f"at chance level: {top1:.1%} of {images:,} validation images cannot be told from the {majority:.1%} that "
        f"always answering the most frequent of {num_classes} classes gets: nothing was learnt that these show; use a "
        "longer preset or more images"
    )
