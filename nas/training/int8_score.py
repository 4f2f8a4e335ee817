"""The score in int8 of a network that is trained alone: that of the file which it would be exported as.

Normalisation is folded into the weights, with the statistics of the training images; the ranges of the activations are
their extremes on some training images; then the fake-quantised forward pass (nas.quantisation.forward) runs on the
validation images. One network at a time, also of members that are trained together.
"""

from pathlib import Path
from typing import NamedTuple

from nas.arch import ArchSpec
from nas.nn.network import Weights
from nas.quantisation.program import program_of
from nas.records.journal import Journal
from nas.tasks import Task
from nas.training.qat import first_ranges, int8_outputs
from nas.training.step import Split, score_of_outputs

FILE = "int8.jsonl"  # in the folder of a training, beside its curve: a record for each epoch that was scored
FIELDS = ("epoch", "top1", "float_top1")


class Int8Score(NamedTuple):
    """A score in int8, from 0 to 1 (of classes top-1), and its standard error; None for that of a share."""

    value: float
    float_value: float  # of the same weights and statistics in float32
    error: float | None = None


def score_in_int8(task: Task, arch: ArchSpec, weights: Weights, train_split: Split, val_split: Split) -> Int8Score:
    """Return the score in int8 on `val_split` of the network with stored statistics.

    The ranges are calibrated on images of `train_split`. `InvalidInput` where an op has no int8 form.
    """
    ranges = first_ranges(arch, weights, train_split)
    value, error = score_of_outputs(task, int8_outputs(arch, weights, ranges, val_split), val_split)
    floats = int8_outputs(arch, weights, ranges, val_split, program_of(arch).layers)  # the same compiled program
    return Int8Score(value, score_of_outputs(task, floats, val_split)[0], error)


def known_scores(folder: Path) -> dict[int, Int8Score]:
    """Return the scores in int8 by epoch that the folder of a training holds."""
    path = folder / FILE
    records = Journal(path, FIELDS).records if path.exists() else []
    return {
        int(one["epoch"]): Int8Score(float(one["top1"]), float(one["float_top1"]), one.get("standard_error"))
        for one in records
    }


def add_score(folder: Path, epoch: int, score: Int8Score) -> None:
    """Keep the score in int8 after an epoch in the folder of a training."""
    known = {} if score.error is None else {"standard_error": score.error}
    record = {"epoch": epoch, "top1": score.value, "float_top1": score.float_value, **known}
    Journal(folder / FILE, FIELDS).append(record)
