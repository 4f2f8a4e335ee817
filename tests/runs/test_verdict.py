"""The verdict against a baseline: its words, the baseline at equal latency, a bounded number of steps, its file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.compare.compare import compare
from nas.compare.page import html
from nas.data import validation_view
from nas.errors import InvalidInput, UnknownName
from nas.progress import Progress, SilentReporter
from nas.records.results import AccuracyKind, Score
from nas.records.verdict import Trained, Verdict, load_verdict, save_verdict
from nas.runs import verdict as verdicts
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.settings import SearchConfig
from nas.runs.verdict import EPOCHS, baseline_at, make_verdict, steps_of, wants_verdict
from nas.space.scaling import scale_down, with_input
from nas.supernet import presets
from nas.training.loop import TrainingConfig
from nas.training.side_by_side import Comparison, train_side_by_side
from nas.zoo import reference
from tests.support.run_folder import make_run
from tests.support.tiny import PRESET, images

KIND = AccuracyKind("quarters", "0" * 64, 8, 0.5, "trained alone for 5 steps, held-out pictures")


def verdict(difference: float, error: float, latencies: tuple[float, float] = (1.0, 1.0)) -> Verdict:
    """Return a verdict with this difference of top-1 and these latencies."""
    one, other = (Score.of(top1, 256, KIND) for top1 in (0.9, 0.9 - difference))
    found, baseline = Trained("found", "a" * 64, latencies[0], one), Trained("conv-s", "b" * 64, latencies[1], other)
    return Verdict(found, baseline, "ms", 5, 0, difference, error)


@pytest.mark.parametrize(
    ("difference", "error", "latencies", "text"),
    [
        (0.03, 0.01, (1.0, 1.0), "better than conv-s at equal latency (1 against 1 ms) by 3.0 ± 1.0 points"),
        (-0.03, 0.01, (1.0, 1.01), "worse than conv-s at equal latency (1 against 1.01 ms) by 3.0 ± 1.0 points"),
        (0.03, 0.02, (1.0, 1.0), "cannot tell whether it is better than conv-s at equal latency (1 against 1 ms): "
                                 "+3.0 ± 2.0 points"),
        (0.0, 0.004, (1.0, 1.0), "cannot tell whether it is better than conv-s at equal latency (1 against 1 ms): "
                                 "+0.0 ± 0.4 points"),
        (0.03, 0.01, (1.0, 1.5), "better than conv-s at 1 against 1.5 ms by 3.0 ± 1.0 points"),
    ],
)  # fmt: skip
def test_a_verdict_is_a_sentence(difference: float, error: float, latencies: tuple[float, float], text: str) -> None:
    assert verdict(difference, error, latencies).text == text


def test_a_network_is_not_compared_with_itself() -> None:
    one = verdict(0.0, 0.01)
    assert replace(one, baseline=one.found).text == "the network found is found itself"


def test_a_verdict_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert load_verdict(tmp_path) is None
    save_verdict(verdict(0.03, 0.01), tmp_path)
    assert load_verdict(tmp_path) == verdict(0.03, 0.01)
    (tmp_path / "verdict.json").write_text('{"schema": "nas.verdict", "version": 1}')
    with pytest.raises(InvalidInput, match=r"verdict\.json does not hold the verdict of a search"):
        load_verdict(tmp_path)


def test_compare_has_the_verdict_of_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", count=2)
    save_verdict(verdict(0.03, 0.01), run)
    compared = compare([run], ["rpi5"])
    assert compared.notes[0] == f"run: {verdict(0.03, 0.01).text}"
    assert "better than conv-s at equal latency" in html(compared).lower()


@pytest.fixture(scope="module")
def plan() -> Iterator[SearchPlan]:
    """A plan over a tiny space for the images of quarters, with a preset that trains a baseline for a few steps."""
    data = images()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SearchConfig, "load_data", lambda _: data)
        patch.setitem(presets.PRESETS, "tiny", replace(PRESET, verdict_gmacs=1.0))
        yield make_plan(
            SearchConfig(
                space="tests.support.tiny:SPACE", target="pixel6-cpu", latency_ms=0.015, resolution=32, preset="tiny",
                proxy_resolution=8, baseline="mobilenetv2",
            )
        )  # fmt: skip


@pytest.mark.parametrize("share", [0.6, 0.9, 1.0, 1.4])
def test_the_baseline_is_brought_to_the_latency_of_the_network_found(plan: SearchPlan, share: float) -> None:
    plan = replace(plan, space=plan.space.with_input(224, 3, 4))
    whole = with_input(reference("mobilenetv2"), 224, 3, 4)
    latency = share * plan.model.predict_ms(whole)
    name, arch = baseline_at(plan, latency)
    assert plan.model.predict_ms(arch) == pytest.approx(latency, rel=0.02)
    assert (arch == whole) == (share == 1.0) == (name == "mobilenetv2")
    assert (arch.input_shape, arch.num_classes) == (whole.input_shape, whole.num_classes)


def test_steps_follow_from_macs_and_images_alone(plan: SearchPlan) -> None:
    proxy = scale_down(plan.space.decode((0,) * len(plan.space.decisions)), 8, 0.5)
    steps = steps_of(plan, (proxy,), 128, 64)
    assert steps == min(EPOCHS * 2, int(1e9 / (3 * proxy.macs * 64)))
    many = steps_of(plan, (proxy,), 1_000_000, 64)
    assert many * 3 * proxy.macs * 64 <= 1e9 < (many + 1) * 3 * proxy.macs * 64
    assert steps_of(replace(plan, preset=replace(plan.preset, verdict_gmacs=1e-9)), (proxy,), 128, 64) == 1


def test_whether_a_baseline_is_trained_is_said_by_preset_and_settings(plan: SearchPlan) -> None:
    assert wants_verdict(plan)
    assert not wants_verdict(replace(plan, settings=replace(plan.settings, baseline="none")))
    assert not wants_verdict(replace(plan, preset=presets.SMOKE))
    assert presets.QUICK.verdict_gmacs > 0 == presets.SMOKE.verdict_gmacs
    with pytest.raises(UnknownName, match="mobilenetv4-conv-s"):
        make_plan(replace(plan.settings, baseline="mobilenetv4-conv-ss"))


class Recorder(SilentReporter):
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[Progress] = []

    def progress(self, event: Progress) -> None:
        """Keep the report."""
        self.seen.append(event)


def test_found_network_and_baseline_are_trained_alike(
    plan: SearchPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The baseline is another member of the space here, which compiles sooner than a reference network."""
    found, other = (plan.space.decode((option,) + (0,) * (len(plan.space.decisions) - 1)) for option in (0, 1))
    monkeypatch.setattr(verdicts, "baseline_at", lambda *_: ("other", other))
    reporter = Recorder()
    made = make_verdict(plan, found, tmp_path, reporter)
    assert made and made == load_verdict(tmp_path)
    assert {one.stage for one in reporter.seen} == {"verdict"} and reporter.seen[-1].step == reporter.seen[-1].steps
    proxies = [scale_down(arch, 8, 0.5) for arch in (found, other)]
    view = validation_view(plan.dataset, 0.2, 0)
    assert (made.steps, made.found.accuracy.images) == (steps_of(plan, tuple(proxies), 128, 64), 32)
    hits = train_side_by_side(proxies[1:], Comparison(view, TrainingConfig(batch_size=64, seed=0), made.steps))
    assert made.baseline.accuracy.top1 == np.mean(hits[0])  # the same, whatever it is trained beside
    assert made.difference == pytest.approx(made.found.accuracy.top1 - made.baseline.accuracy.top1)
    assert made.difference_error > 0
    assert made.found.accuracy.top1 > 0.5  # chance is 0.25
    monkeypatch.setattr(verdicts, "train_side_by_side", None)  # what the folder holds is not trained again
    assert make_verdict(plan, found, tmp_path, reporter) == made
