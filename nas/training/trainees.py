"""Trainings of single networks as a search asks for them: which proxy, with which seed, up to which epoch.

How they are run, one after the other in this process, as members of one program or on workers, is a `TrainAll`. A
training goes on from where its folder stands, and a folder that has all epochs trains nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.training.candidates import CandidateTrainings, OpenTrainers, in_process
from nas.training.int8_score import Int8Score
from nas.training.trial import train_until


@dataclass(frozen=True)
class Trainee:
    """One training: the proxy of a target network, its seed, and the epoch up to which it is trained."""

    digest: str  # of the target network
    arch: ArchSpec  # of the proxy
    seed: int  # of initial weights, order of images and augmentation; equal seeds are common random numbers
    epochs: int  # at most those of the trainings' config, whose schedule spans its full length


@dataclass(frozen=True)
class Trained:
    """The result of a training: top-1 on the validation images after each epoch, or why it failed."""

    trainee: Trainee
    curve: tuple[float, ...]  # fractions, one per epoch; empty where the training failed
    error: str = ""
    in_int8: Int8Score | None = None  # the score in int8 after the last epoch, of trainings that ask for it

    @property
    def score(self) -> float | None:
        """The score that counts, in int8 where that was asked for; None where the training failed."""
        if not self.curve:
            return None
        return self.curve[-1] if self.in_int8 is None else self.in_int8.value


OnTraineeEpoch = Callable[[Trainee, int, float], None]  # called with an epoch and the top-1 after it, known ones too
TrainAll = Callable[[Sequence[Trainee]], Iterator[Trained]]  # trains all; results in any order
OpenTrainees = Callable[[CandidateTrainings, OnTraineeEpoch], AbstractContextManager[TrainAll]]


@contextmanager
def one_by_one(trials: CandidateTrainings, on_epoch: OnTraineeEpoch) -> Iterator[TrainAll]:
    """Yield the function that trains one network after the other in this process, each as a program of its own."""
    assert not trials.int8, "members alone are scored in int8: nas.training.members"

    def train(trainees: Sequence[Trainee]) -> Iterator[Trained]:
        for one in trainees:
            config = replace(trials.config, seed=one.seed)
            try:
                curve = train_until(
                    one.arch, trials.data, config, trials.of(one.digest, one.seed), until=one.epochs,
                    on_epoch=partial(on_epoch, one),
                )  # fmt: skip
            except InvalidInput as error:  # the loss is no longer finite: the other networks go on
                yield Trained(one, (), str(error))
            else:
                yield Trained(one, tuple(curve))

    yield train


@dataclass(frozen=True)
class Trainers:
    """What trains networks alone in a search: the finalists of two stages, or what an accuracy model asks for."""

    candidates: OpenTrainers = in_process
    trainees: OpenTrainees = one_by_one
