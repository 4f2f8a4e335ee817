"""The history of a training that is validated after each epoch: history.json, written whole after each."""

from dataclasses import asdict, dataclass
from pathlib import Path

from nas.files import dump_json, write_whole
from nas.records.typed import Count, NonNegative, PositiveCount, read_versioned, refused, typed

SCHEMA, VERSION = "nas.history", 1
FILE = "history.json"


@dataclass(frozen=True)
class EpochRow:
    """What the averaged weights are worth after an epoch, under stored statistics and without augmentation."""

    epoch: PositiveCount
    learning_rate: NonNegative  # of the epoch's last step
    training_loss: float  # on training examples, evenly spaced; of classification in nats
    training_score: float  # the same; top-1 as a fraction, or the score of another task
    validation_loss: float
    validation_score: float


@dataclass(frozen=True)
class History:
    """The epochs so far. `patience` epochs without a better validation score end the training; 0: none do."""

    metric: str  # of the scores, "top-1"
    training_examples: Count  # that the rows are of
    validation_examples: Count
    patience: Count
    rows: tuple[EpochRow, ...] = ()

    @property
    def best(self) -> EpochRow | None:
        """The first of the rows with the highest validation score, None before the first epoch."""
        return max(self.rows, key=lambda row: row.validation_score, default=None)

    @property
    def stopped(self) -> bool:
        """Whether the patience is at its end."""
        best = self.best
        return best is not None and 0 < self.patience <= self.rows[-1].epoch - best.epoch

    def text(self) -> str:
        """Return in words which epoch was best."""
        best = self.best
        if best is None:
            return "no epoch yet"
        score = f"{best.validation_score:.2%}" if self.metric == "top-1" else f"{best.validation_score:.4f}"
        end = f", ended after {self.patience} epochs without a better one" if self.stopped else ""
        return (
            f"validation {self.metric} best in epoch {best.epoch} of {self.rows[-1].epoch}: {score} of "
            f"{self.validation_examples:,}{end}"
        )

    def write(self, folder: Path) -> None:
        """Write the file whole."""
        write_whole(folder / FILE, dump_json({"schema": SCHEMA, "version": VERSION, **asdict(self)}))


def load_history(folder: Path) -> History | None:
    """Return the history of the training in `folder`, None where it was not validated; `InvalidInput` for another."""
    path = folder / FILE
    if not path.is_file():
        return None
    with refused(path, "the history of a training", "train into another folder"):
        return typed(History, read_versioned(path, SCHEMA, VERSION))
