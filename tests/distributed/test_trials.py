"""Finalists trained alone: stops and goes on anywhere, in one process and under Ray Tune, and the table of it."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from nas.arch import ArchSpec
from nas.data import validation_view
from nas.errors import InvalidInput, UnknownName
from nas.nn.network import load_weights
from nas.ops import Conv, Head, Shape
from nas.quantisation.forward import fake_quantised_outputs
from nas.records.locks import locked
from nas.training import candidates as finals
from nas.training import trial as trial_training
from nas.training.candidates import (
    DROPPED,
    FINISHED,
    Candidate,
    CandidateRow,
    CandidateTrainings,
    TrialResult,
    kendall_tau,
    ranking_table,
    run_halving,
    train_in_turn,
)
from nas.training.loop import TrainingConfig
from nas.training.members import as_members
from nas.training.optimizers import AdamW
from nas.training.qat import first_ranges
from nas.training.step import image_splits, network_outputs
from nas.training.trainees import Trainee
from nas.training.trial import train_until
from tests.support.tiny import images

SETTINGS = TrainingConfig(epochs=4, batch_size=32, optimizer=AdamW(0.01))


def network(width: int) -> ArchSpec:
    return ArchSpec(Shape(8, 8, 1), ((Conv(width),),), Head(), 4)


FINALISTS = tuple(
    Candidate(network(width).digest, network(width), width / 8, "ms", top1)
    for width, top1 in ((8, 0.5), (16, 0.7), (24, 0.6))
)


def trials_in(folder: Path) -> CandidateTrainings:
    return finals.make_trainings([one.arch for one in FINALISTS], images(), SETTINGS, folder, split=(0.2, 0))


def quiet(digest: str, epoch: int, top1: float) -> None:
    pass


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[TrialResult], Path]:
    """The finalists trained by halving in this process, without a break."""
    folder = tmp_path_factory.mktemp("once")
    return run_halving(FINALISTS, (2, 4), train_in_turn(trials_in(folder), quiet)), folder


def files(folder: Path) -> dict[str, bytes]:
    """The results of all trials, byte for byte."""
    kept = [*folder.glob("trials/*/curve.jsonl"), *folder.glob("trials/*/weights.safetensors")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def test_the_view_holds_the_training_set_alone() -> None:
    whole = images()
    view = validation_view(whole, 0.25, 3)
    assert len(view.y_train) + len(view.y_test) == len(whole.y_train)
    rows = {image.tobytes() for image in whole.x_train}
    assert {p.tobytes() for p in view.x_train} | {p.tobytes() for p in view.x_test} == rows
    assert view.digest != whole.digest != validation_view(whole, 0.25, 4).digest


def test_halving_trains_all_to_the_first_rung_and_one_to_the_end(at_once: tuple[list[TrialResult], Path]) -> None:
    trial_results, folder = at_once
    assert [(one.epochs, one.state) for one in trial_results] == [(4, FINISHED), (2, DROPPED), (2, DROPPED)]
    assert trial_results[1].top1 >= trial_results[2].top1
    written = files(folder)
    assert len(written) == 4  # three curves and the weights of one
    assert sum(name.endswith("safetensors") for name in written) == 1


def test_going_on_in_pieces_changes_no_byte(at_once: tuple[list[TrialResult], Path], tmp_path: Path) -> None:
    trial_results, folder = at_once
    trials = trials_in(tmp_path)
    seen: list[int] = []
    for one in FINALISTS[::-1]:
        train_until(one.arch, trials.data, SETTINGS, trials.of(one.digest), until=1, on_epoch=lambda *_: None)
    with (trials.of(FINALISTS[0].digest) / "curve.jsonl").open("a") as file:
        file.write('{"epoch": 2, "to')  # torn by a crash
    assert (
        run_halving(FINALISTS, (2, 4), train_in_turn(trials, lambda digest, epoch, top1: seen.append(epoch)))
        == trial_results
    )
    assert files(tmp_path) == files(folder)
    assert sorted(seen) == [1, 1, 1, 1, 2, 2, 2, 2, 3, 4]  # known epochs are reported again


def test_two_do_not_train_one_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_training, "ORPHAN_S", 0.1)
    trials, one = trials_in(tmp_path), FINALISTS[0]
    trials.of(one.digest).mkdir(parents=True)
    with locked(trials.of(one.digest)), pytest.raises(InvalidInput, match="is working on"):
        train_until(one.arch, trials.data, SETTINGS, trials.of(one.digest), until=1, on_epoch=lambda *_: None)


def test_the_table_ranks_and_says_what_changed(at_once: tuple[list[TrialResult], Path], tmp_path: Path) -> None:
    rows = ranking_table(FINALISTS, at_once[0])
    assert [row.place for row in rows] in ([1, 2, 3], [1, 2, 2])
    assert sorted(row.supernet_place for row in rows) == [1, 2, 3]
    assert all(row.gained == row.supernet_place - row.place for row in rows)
    best = TrialResult(FINALISTS[0].digest, 4, 0.9, FINISHED)
    others = [TrialResult(one.digest, 4, 1 - one.supernet_top1, FINISHED) for one in FINALISTS[1:]]
    assert kendall_tau(ranking_table(FINALISTS, [best, *others])) == pytest.approx(-1)
    finals.write_table(rows, tmp_path)
    with (tmp_path / "finalists.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [row["digest"] for row in read] == [row.digest for row in rows]
    failed = ranking_table(FINALISTS, [best, others[0], TrialResult(FINALISTS[2].digest, 0, 0.0, finals.FAILED, "why")])
    assert [row.error for row in failed] == ["", "", "why"]
    assert kendall_tau(failed[:1]) is None


def test_a_folder_of_other_trials_is_refused(tmp_path: Path) -> None:
    finals.open_folder(tmp_path, FINALISTS, images(), {"epochs": 4})
    finals.open_folder(tmp_path, FINALISTS, images(), {"epochs": 4})
    with pytest.raises(InvalidInput, match=r"another epochs \(4, not 5\)"):
        finals.open_folder(tmp_path, FINALISTS, images(), {"epochs": 5})
    with pytest.raises(UnknownName, match="did you mean 'asha'"):
        finals.check_scheduler("ahsa")
    with pytest.raises(InvalidInput, match="classes"):
        finals.make_trainings([network(8)], images(classes=2), SETTINGS, tmp_path, split=(0.2, 0))


# ------------------------------------------------------------------------------------------------------------ Ray Tune


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One cluster for the tests that need workers."""
    from nas.distributed.cluster import Cluster

    with Cluster(2):
        yield


Halved = tuple[list[CandidateRow], Path]


@pytest.fixture(scope="module")
def by_workers(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Halved:
    """The finalists trained by halving by two workers, without a break."""
    from nas.distributed.trials import run_trials

    folder = tmp_path_factory.mktemp("workers")
    return run_trials(FINALISTS, trials_in(folder), workers=2, rungs=(2, 4)), folder


def test_workers_do_what_one_process_does(by_workers: Halved, at_once: tuple[list[TrialResult], Path]) -> None:
    """Not to the last bit: this process computes with as many threads as there are cores, a worker with one."""
    rows, folder = by_workers
    expected = {row.digest: row for row in ranking_table(FINALISTS, at_once[0])}
    assert [row.state for row in rows] == [FINISHED, DROPPED, DROPPED]
    assert all(abs(row.alone_top1 - expected[row.digest].alone_top1) < 0.1 for row in rows)
    assert sorted(files(folder)) == sorted(files(at_once[1]))


def test_one_worker_gives_the_bytes_of_two(by_workers: Halved, tmp_path: Path) -> None:
    from nas.distributed.trials import on_workers

    rows, folder = by_workers
    with on_workers(trials_in(tmp_path), lambda *_: None, workers=1) as run_rung:
        assert ranking_table(FINALISTS, run_halving(FINALISTS, (2, 4), run_rung)) == rows
    assert files(tmp_path) == files(folder)


@pytest.mark.usefixtures("cluster")
def test_a_scheduler_of_tune_ends_every_trial(tmp_path: Path) -> None:
    from nas.distributed.trials import run_trials

    trials, lock, seen = trials_in(tmp_path), threading.RLock(), []

    def reporter(digest: str, epoch: int, top1: float) -> None:
        with lock:  # which cannot be pickled, like a live display
            seen.append((digest, epoch, top1))

    rows = run_trials(FINALISTS, trials, scheduler="asha", workers=2, on_epoch=reporter)
    assert {(row.digest, row.epochs, row.alone_top1) for row in rows} <= set(seen)
    assert sorted(row.digest for row in rows) == sorted(one.digest for one in FINALISTS)
    assert rows[0].state == FINISHED and rows[0].epochs == 4
    assert all(row.state in (FINISHED, finals.STOPPED) and row.epochs >= 1 for row in rows)
    assert run_trials(FINALISTS, trials, scheduler="asha", workers=1) == rows  # what has ended stays as it was


@dataclass(frozen=True)
class FakeTrial:
    """What a scheduler sees of a trial."""

    trial_id: str


@pytest.mark.parametrize("name", ["asha", "median", "decay"])
def test_schedulers_stop_the_weak_trial_and_leave_the_strong_ones(name: str) -> None:
    from nas.distributed.trials import SCHEDULERS

    scheduler = SCHEDULERS[name](30, 8)
    scheduler.set_search_properties("top1", "max")
    alive = {"a": 0.9, "b": 0.88, "c": 0.86, "d": 0.3}
    for trial in alive:
        scheduler.on_trial_add(None, FakeTrial(trial))
    stopped: dict[str, int] = {}
    for epoch in range(1, 30):
        for trial in [one for one in alive if one not in stopped]:
            result = {"epoch": epoch, "top1": alive[trial] - 0.2 * epoch**-0.8}
            if scheduler.on_trial_result(None, FakeTrial(trial), result) == "STOP":
                stopped[trial] = epoch
    assert stopped.get("d", 30) <= 15 and "a" not in stopped


KILLED = """
import sys
import tests.distributed.test_trials as t
from pathlib import Path
from nas.distributed.trials import run_trials
show = lambda *epoch: print(epoch, flush=True)
run_trials(t.FINALISTS, t.trials_in(Path(sys.argv[1])), workers=2, rungs=(2, 4), on_epoch=show)
"""


def test_trials_go_on_after_the_driver_was_killed(root: Path, by_workers: Halved, tmp_path: Path) -> None:
    from nas.distributed.trials import run_trials

    rows, folder = by_workers
    path = str(root)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], env=os.environ | {"PYTHONPATH": path}, text=True,
        stdout=subprocess.PIPE,
    ) as driver:  # fmt: skip
        assert driver.stdout is not None
        driver.stdout.readline()  # the first epoch of the first trial
        driver.send_signal(signal.SIGKILL)
    time.sleep(3)  # Ray's workers end with their driver
    before = sum(map(len, files(tmp_path).values()))
    assert 0 < before < sum(map(len, files(folder).values()))
    assert run_trials(FINALISTS, trials_in(tmp_path), workers=1, rungs=(2, 4)) == rows
    assert files(tmp_path) == files(folder)


@pytest.mark.usefixtures("cluster")
def test_workers_train_a_network_with_each_seed(tmp_path: Path) -> None:
    from nas.distributed.trials import trainees_on_workers

    one = FINALISTS[0]
    seen: dict[Trainee, tuple[float, ...]] = {}
    trainees = [Trainee(one.digest, one.arch, seed, 1) for seed in (0, 4)]
    trials = replace(trials_in(tmp_path), int8=True)
    with trainees_on_workers(trials, lambda one, epoch, top1: seen.update({one: (top1,)}), workers=1) as train:
        trained = {each.trainee: each for each in train(trainees)}
        again = {each.trainee: each for each in train(trainees)}  # from the folders: nothing is left to do
    found = {trainee: each.curve for trainee, each in trained.items()}
    assert found == seen and again == trained
    assert set(found) == set(trainees)
    assert len(files(tmp_path)) == 2  # a curve per seed
    here = replace(trials_in(tmp_path / "here"), int8=True)
    with as_members(here, lambda *_: None) as train:  # with other numbers of threads
        for each in train([*trainees, whole := Trainee(one.digest, one.arch, 0, SETTINGS.epochs)]):
            assert each.in_int8 is not None and each.score == each.in_int8.value
            if each.trainee == whole:
                assert each.in_int8[:2] == pytest.approx(scores_of_weights(here, one.arch))
                continue
            assert abs(found[each.trainee][0] - each.curve[0]) < 0.1
            assert each.score == pytest.approx(trained[each.trainee].score, abs=0.1)


def scores_of_weights(trials: CandidateTrainings, arch: ArchSpec) -> tuple[float, float]:
    """The shares of validation images that the weights of a trial name, in int8 as files do and in float32."""
    weights, _ = load_weights(trials.of(arch.digest) / "weights.safetensors", arch)
    train_split, val_split = image_splits(trials.data)
    ranges = first_ranges(arch, weights, train_split)
    x = np.asarray(val_split.inputs(val_split.x, arch))
    outputs = fake_quantised_outputs(arch, lambda name, _: np.asarray(weights[name]), ranges, x)
    floats = network_outputs(arch, weights, val_split)
    in_int8, in_float32 = (float((each.argmax(1) == trials.data.y_test).mean()) for each in (outputs, floats))
    return in_int8, in_float32
