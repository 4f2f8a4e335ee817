"""The study of ways to train: it runs in its smallest form, goes on where it was stopped, and sums up what is known."""

from pathlib import Path

import pytest

from experiments import training_arms
from experiments.training_arms import (
    ARMS,
    Clock,
    Scale,
    Study,
    best_of_others,
    epochs_at_equal_time,
    full_summary,
    known_in,
    summary,
)
from nas.arch import ArchSpec
from nas.ops import Conv, Head, Shape
from tests.support.tiny import images

SCALE = Scale(images=40, epochs=2, teacher_epochs=1, pretraining_epochs=1, samples=2, batch=20, side=8, seeds=(0,))


class Stopped(Exception):
    """A stop between two trainings."""


def tiny(scale: Scale, width: float, classes: int) -> ArchSpec:
    return ArchSpec(Shape(scale.side, scale.side, 3), ((Conv(int(8 * width), 3, 2),),), Head(), classes)


def test_its_smallest_form_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scale, "arch", tiny)
    study = Study(SCALE, tmp_path / "work", tmp_path / "trainings.jsonl", images(80), images(80))
    append = Study.append

    def stop_at_the_second(self: Study, row: dict[str, object]) -> None:
        if row["arm"] == ARMS[1]:
            raise Stopped
        append(self, row)

    monkeypatch.setattr(Study, "append", stop_at_the_second)
    with pytest.raises(Stopped):
        study.run()
    first = (tmp_path / "trainings.jsonl").read_bytes()
    monkeypatch.setattr(Study, "append", append)
    (tmp_path / "trainings.jsonl").write_bytes(first + b'{"arm": "dist')  # a line that a kill cut
    monkeypatch.setattr(training_arms, "epochs_at_equal_time", lambda known, scale: {"distilled": 1})
    Study(SCALE, tmp_path / "work", tmp_path / "trainings.jsonl", images(80), images(80)).run()
    assert (tmp_path / "trainings.jsonl").read_bytes().startswith(first)
    known = known_in(tmp_path / "trainings.jsonl")
    assert list(known) == [*((arm, 0, 2) for arm in ARMS), ("distilled", 0, 1)]
    assert all(0 <= row["top1"] <= 1 and row["step_s"] > 0 for key, row in known.items() if key[2] == 2)


def test_equal_time_and_differences_are_those_of_the_journal() -> None:
    scale, steps_s = Scale(epochs=40), {"plain": 0.1, "distilled": 0.2, "reinforced": 0.107, "pretrained": 0.08}
    known = {
        (arm, seed, 40): {"top1": 0.5 + 0.01 * at + 0.001 * seed, "step_s": steps_s[arm]}
        for at, arm in enumerate(ARMS)
        for seed in scale.seeds
    }
    equal = epochs_at_equal_time(known, scale)
    assert equal == {"plain": 40, "distilled": 20, "reinforced": 40, "pretrained": 50}
    lines = summary(known, scale)
    assert "equal steps: reinforced  40 epochs, 52.10 +- 0.25 % of 3 seeds, 2.00 +- 0.00 points over plain" in lines
    assert "equal processor time: distilled   20 epochs, 0 of 3 seeds so far" in lines
    assert best_of_others(known, scale) is None
    known |= {("distilled", seed, 20): {"top1": 0.7} for seed in scale.seeds}
    assert best_of_others(known, scale) is None
    known |= {("pretrained", seed, 50): {"top1": 0.6} for seed in scale.seeds}
    assert best_of_others(known, scale) == "distilled"
    del known["plain", 2, 40]
    assert epochs_at_equal_time(known, scale) == {}


def test_full_size_trains_two_arms_and_says_their_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scale, "arch", tiny)
    path = tmp_path / "full_size.jsonl"
    Study(SCALE, tmp_path / "work", path, images(80), images(80)).run_full(["plain", "pretrained"])
    assert list(known_in(path)) == [("plain", 0, 2), ("pretrained", 0, 2)]
    row = {"arm": "plain", "seed": 0, "epochs": 10, "top1": 0.8, "step_s": 0.5}
    (line,) = full_summary([row], Scale(images=1000, batch=100, side=32), 1600)
    head, rest = line.split(" by ours, ")
    assert head == "32 px, 1,000 images: plain       10 epochs"
    assert rest == "80.00% +- 1.00% of 1,600 test images, 50 processor seconds"


def test_a_single_seed_has_no_interval() -> None:
    scale = Scale(epochs=4, seeds=(0,))
    known = {(arm, 0, 4): {"top1": 0.5 + 0.01 * at, "step_s": 0.1} for at, arm in enumerate(ARMS)}
    assert "equal steps: reinforced   4 epochs, 52.00% with one seed, +2.00 points over plain" in summary(known, scale)


def test_a_clock_leaves_out_what_compiles() -> None:
    clock = Clock((1, 10.0), (5, 12.0))
    assert clock.step_s == 0.5 and Clock((1, 10.0), (1, 10.0)).step_s is None
