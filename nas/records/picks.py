"""The file picks.json of a run: the answer and what is as good within the noise, and how much of its score is luck."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas.files import dump_json, write_whole
from nas.records.results import TOP1, metric_of, title_of
from nas.records.typed import Count, Fraction, Positive, PositiveCount, read_versioned, refused, typed

SCHEMA, VERSION = "nas.picks", 1
FILE = "picks.json"
ENOUGH = 32  # images for an estimate of the luck
ANSWER = "most accurate"  # the role of the answer


@dataclass(frozen=True)
class Pick:
    """A network that is as good as the answer within one standard error of the difference, or the answer itself."""

    roles: tuple[str, ...]  # "most accurate" for the answer; "fastest", ..., or none
    digest: str
    spec: str  # its file, relative to the run folder
    latency: Positive
    top1: Fraction
    difference: float  # of the answer's top-1 to this one's, as a fraction
    difference_error: float  # one standard error of it; 0 for the answer
    macs: Count
    params: Count
    peak_activation_elements: Count
    standard_error: Fraction | None = None  # of the score, where it is not that of a share

    @property
    def name(self) -> str:
        """What it is picked for, as text."""
        return ", ".join(self.roles) or "as good"


@dataclass(frozen=True)
class Picks:
    """How the answer of a run was chosen: among how many, how much of its score is luck, and what is as good."""

    accuracy_kind: str
    images: PositiveCount  # validation images on which the candidates were compared
    paired: bool  # whether image by image; else the errors of differences, and the luck, are upper bounds
    candidates: Count  # that keep all bounds, among which it was chosen
    as_good: Count  # of those within one standard error of the answer, without it
    luck: float  # by how much the highest of the scores flatters, as a fraction
    latency_unit: str
    picks: tuple[Pick, ...]  # the answer first

    @property
    def expected_top1(self) -> float:
        """The answer's accuracy without the luck of the choice."""
        return self.picks[0].top1 - self.luck

    @property
    def luck_note(self) -> str | None:
        """A sentence on how far the answer's score is to be believed; None where nothing was chosen, or on few images.

        On fewer than `ENOUGH` the luck cannot be estimated either.
        """
        if self.candidates < 2 or self.images < ENOUGH:
            return None
        about, more = ("about", "") if self.paired else ("at most about", " or more")
        if metric_of(self.accuracy_kind) != TOP1:
            score = f"{title_of(self.accuracy_kind)} {self.picks[0].top1:.3f}"
            return (
                f"chosen as the best of {self.candidates:,} scores: {about} {self.luck:.3f} of its {score} is luck; "
                f"expect {self.expected_top1:.3f}{more}"
            )
        return (
            f"chosen as the best of {self.candidates:,} scores: {about} {100 * self.luck:.1f} points of its "
            f"{100 * self.picks[0].top1:.1f} % are luck; expect {100 * self.expected_top1:.1f} %{more}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        picks = [{key: value for key, value in asdict(one).items() if value is not None} for one in self.picks]
        body = asdict(self) | {"picks": picks}
        return {"schema": SCHEMA, "version": VERSION, **body, "expected_top1": self.expected_top1}


def save_picks(picks: Picks, run: Path) -> None:
    """Write picks.json into the folder of a run."""
    write_whole(run / FILE, dump_json(picks.to_dict()))


def load_picks(run: Path) -> Picks | None:
    """Return the picks of a run, None where it has none: it is of an older release, or has not come that far.

    `InvalidInput` where the file was altered.
    """
    path = run / FILE
    if not path.exists():
        return None
    with refused(path, "the picks of a search"):
        data = read_versioned(path, SCHEMA, VERSION)
        data.pop("expected_top1")
        picks = typed(Picks, data)
        if not picks.picks:
            raise TypeError("it has no picks")
        return picks
