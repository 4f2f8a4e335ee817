"""Trainings by network, seed and epoch: folders, results, and what going on changes."""

from pathlib import Path

import pytest

from nas.arch import ArchSpec
from nas.ops import Conv, Head, Shape
from nas.training.candidates import CandidateTrainings, make_trainings
from nas.training.loop import TrainingConfig
from nas.training.members import as_members
from nas.training.optimizers import AdamW
from nas.training.trainees import OpenTrainees, Trained, Trainee, one_by_one
from tests.support.tiny import images

ARCH = ArchSpec(Shape(8, 8, 1), ((Conv(8),),), Head(), 4)
CONFIG = TrainingConfig(epochs=2, batch_size=32, optimizer=AdamW(0.01), seed=3)


def trainings(folder: Path) -> CandidateTrainings:
    return make_trainings([ARCH], images(), CONFIG, folder, split=(0.2, 0))


@pytest.fixture(scope="module", params=[one_by_one, as_members])
def opened(request: pytest.FixtureRequest) -> OpenTrainees:
    trainers: OpenTrainees = request.param
    return trainers


@pytest.fixture(scope="module")
def at_once(opened: OpenTrainees, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Trained], Path]:
    """One network trained with the search's seed and with another one."""
    folder = tmp_path_factory.mktemp("once")
    with opened(trainings(folder), lambda *_: None) as train:
        return list(train([Trainee(ARCH.digest, ARCH, seed, 2) for seed in (3, 5)])), folder


def test_each_seed_has_a_folder_of_its_own(at_once: tuple[list[Trained], Path]) -> None:
    trained, folder = at_once
    assert [(one.trainee.seed, len(one.curve), one.error) for one in trained] == [(3, 2, ""), (5, 2, "")]
    name = ARCH.digest[:12]
    assert {path.name for path in (folder / "trials").iterdir()} == {name, f"{name}-s5"}


def test_a_training_goes_on_from_where_it_stands(
    opened: OpenTrainees, at_once: tuple[list[Trained], Path], tmp_path: Path
) -> None:
    trained, folder = at_once
    seen: list[tuple[int, int]] = []
    with opened(trainings(tmp_path), lambda one, epoch, _: seen.append((one.epochs, epoch))) as train:
        (first,) = train([Trainee(ARCH.digest, ARCH, 5, 1)])
        (second,) = train([Trainee(ARCH.digest, ARCH, 5, 2)])
    assert seen == [(1, 1), (2, 1), (2, 2)]  # known epochs are reported again
    assert second.curve == trained[1].curve and second.curve[:1] == first.curve
    name = f"trials/{ARCH.digest[:12]}-s5/weights.safetensors"
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
