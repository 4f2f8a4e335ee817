"""The file accuracy_model.json of a run: what the accuracy model showed, how it chose, and what a supernet earned."""

from dataclasses import asdict, dataclass
from pathlib import Path

from nas.files import dump_json, write_whole
from nas.records.typed import Count, Fraction, NonNegative, read_versioned, refused, typed

SCHEMA, VERSION = "nas.accuracy_model", 1
FILE = "accuracy_model.json"


@dataclass(frozen=True)
class TauRecord:
    """Kendall's tau of two rankings of `networks` networks of equal latency, with its interval at `confidence`."""

    value: float
    low: float
    high: float
    networks: Count
    confidence: Fraction

    @property
    def text(self) -> str:
        """The tau with its interval as text."""
        interval = f"{self.confidence:.0%} interval {self.low:+.2f} to {self.high:+.2f}"
        return f"{self.value:+.2f} ({interval}), {self.networks} networks"


@dataclass(frozen=True)
class BatchRecord:
    """One batch of trainings: what it was for, its networks, how many the model chose, and the tau at that time."""

    purpose: str  # "start", "model", "chance", "rung" or "repeat"
    networks: Count
    by_model: Count
    tau: TauRecord | None


@dataclass(frozen=True)
class SupernetRecord:
    """What a supernet beside the accuracy model cost and showed."""

    steps: Count
    share: NonNegative  # of the expected processor seconds
    tau: TauRecord  # of its accuracies with those of the networks trained alone
    used: bool  # whether its scores chose networks from then on
    scored: Count  # networks that were evaluated with it


@dataclass(frozen=True)
class TrainedNetwork:
    """One network that was trained alone; accuracies are fractions of the validation images, at the full length."""

    digest: str
    observed: float  # mean over its seeds; of a shorter training with the mean gain of the longer ones
    predicted: float  # by the model from the other networks
    estimate: float  # of both, as the search judges it
    estimate_error: float
    epochs: Count
    seeds: Count


@dataclass(frozen=True)
class ModelEvidence:
    """The evidence for the answer of a search with an accuracy model."""

    model: str
    informed: bool  # whether it predicts anything; a search with one that does not is random search
    trusted: bool
    tau: TauRecord | None  # leave-one-out
    noise: float  # standard deviation of one training around its network's accuracy, a fraction
    networks: tuple[TrainedNetwork, ...]  # as the search ranks them, the answer first
    batches: tuple[BatchRecord, ...]
    supernet: SupernetRecord | None
    core_s: NonNegative  # expected processor seconds of trainings and supernet

    @property
    def text(self) -> str:
        """The evidence in one sentence."""
        chosen = sum(batch.by_model for batch in self.batches)
        tau = self.tau.text if self.tau else "not known"
        if self.trusted:
            how = f"it chose {chosen} of them"
        elif not self.informed:
            how = "it chose none of them, as it is random search"
        else:
            how = f"that shows nothing, so observed accuracies decided ({chosen} of the networks were its choice)"
        return f"accuracy model {self.model}: leave-one-out tau {tau} trained alone; {how}"

    @property
    def supernet_text(self) -> str:
        """What the supernet earned, in one sentence; "" where none was trained."""
        if self.supernet is None:
            return ""
        earned = "its scores chose networks from then on" if self.supernet.used else "it earned no larger share"
        return (
            f"supernet: {self.supernet.steps} steps, {self.supernet.share:.0%} of the processor time expected; tau "
            f"with the trainings {self.supernet.tau.text}; {earned}"
        )


def save_evidence(evidence: ModelEvidence, run: Path) -> None:
    """Write accuracy_model.json into a run folder."""
    write_whole(run / FILE, dump_json({"schema": SCHEMA, "version": VERSION, **asdict(evidence)}))


def load_evidence(run: Path) -> ModelEvidence | None:
    """Return what the accuracy model of a run showed, None where it had none; `InvalidInput` where it was altered."""
    path = run / FILE
    if not path.exists():
        return None
    with refused(path, "the accuracy model of a search"):
        # The first files of this kind did not say whether the model is informed.
        return typed(ModelEvidence, {"informed": True} | read_versioned(path, SCHEMA, VERSION))
