"""Who teaches in a training: one network, or of regression a tough and a tolerant one."""

from dataclasses import dataclass

from nas.data import Dataset
from nas.errors import InvalidInput
from nas.runs.reinforce import load_teacher
from nas.training.teaching import Teacher, Teaching
from nas.training.two_teachers import TwoTeachers


@dataclass(frozen=True)
class TeacherConfig:
    """Who answers for the images of every step: see `load_teacher` for what names one; None: no one does."""

    teacher: str | None = None
    tolerant: str | None = None  # a second one, trained on smoothed targets; `teacher` is the tough one then
    share: float | None = None  # of the loss, beside labels; None: 0.5
    temperature: float | None = None  # of both answers; None: 2

    def __post_init__(self) -> None:
        weighted = self.share is not None or self.temperature is not None
        if self.tolerant is not None and self.teacher is None:
            raise InvalidInput("a tolerant teacher stands beside a teacher, the tough one; give both")
        if self.tolerant is not None and weighted:
            raise InvalidInput("two teachers have weights of their own: leave share and temperature out")
        if self.teacher is None and weighted:
            raise InvalidInput("share and temperature are those of a teacher; name one")

    def load(self, dataset: Dataset) -> Teacher | TwoTeachers | None:
        """Return what teaches in a training on `dataset`; `InvalidInput` for a teacher that does not fit it."""
        if self.teacher is None:
            return None
        if self.tolerant is None:
            return teacher_of(self.teacher, dataset, *self._weights)
        found = TwoTeachers(*(teacher_of(text, dataset, 1.0, 1.0) for text in (self.teacher, self.tolerant)))
        found.check(dataset.task)
        return found

    @property
    def lines(self) -> tuple[str, ...]:
        """What a plan says of the teachers."""
        if self.teacher is None:
            return ()
        if self.tolerant is not None:
            return (f"teachers: {self.teacher}, tough, and {self.tolerant}, tolerant (arXiv 2111.07047)",)
        share, temperature = self._weights
        return (f"teacher {self.teacher}: {share:.0%} of the loss, temperature {temperature:g}",)

    @property
    def _weights(self) -> tuple[float, float]:
        return 0.5 if self.share is None else self.share, 2.0 if self.temperature is None else self.temperature


def teacher_of(text: str, dataset: Dataset, share: float, temperature: float) -> Teacher:
    """Return the teacher that `text` names for a training on `dataset`; see `load_teacher`."""
    found = load_teacher(text, dataset)
    return Teacher(Teaching(found.arch, share, temperature), found.weights, found.signature.input)
