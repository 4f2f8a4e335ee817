"""The verdict of a search: the network found against a baseline of equal latency, both trained alone and briefly."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from nas.arch import ArchSpec
from nas.data import at_resolution, validation_view
from nas.progress import Progress, ProgressReporter, report_timing
from nas.progress.time_left import Schedule
from nas.records.results import trained_for_steps
from nas.records.verdict import EQUAL, Trained, Verdict, load_verdict, save_verdict
from nas.runs.phases import VERDICT, verdict_phase
from nas.runs.plan import SearchPlan, reference_of
from nas.runs.result_builder import as_accuracy
from nas.runs.settings import NO_BASELINE
from nas.search.selection import paired_difference, score_error, total
from nas.space.scaling import scale_down, scale_width
from nas.training.loop import PASSES, TrainingConfig
from nas.training.side_by_side import Comparison, train_side_by_side

BATCH = 64
EPOCHS = 8  # at most: a search on small images is to stay within minutes
WIDTHS = np.arange(0.2, 3.0001, 0.02)  # multipliers with which a baseline is brought to a latency


def wants_verdict(plan: SearchPlan) -> bool:
    """Return whether the plan has a baseline, and a preset long enough for one."""
    return plan.settings.baseline != NO_BASELINE and plan.preset.verdict_gmacs > 0


def baseline_at(plan: SearchPlan, latency: float) -> tuple[str, ArchSpec]:
    """Return the plan's baseline with its name, brought to `latency` by a width multiplier where it is off.

    The one nearest in latency of all `WIDTHS`, which is a step function of the width on small inputs.
    """
    name = plan.settings.baseline
    data = plan.dataset
    whole = reference_of(plan.settings, plan.input_shape, data.num_classes, data.sample_rate, name)

    def gap(arch: ArchSpec) -> float:
        """Return the relative difference of the latency of `arch`."""
        return abs(plan.model.predict_ms(arch) / latency - 1)

    if gap(whole) <= EQUAL:
        return name, whole
    width = min(map(float, WIDTHS), key=lambda one: gap(scale_width(whole, one)))
    nearest = scale_width(whole, width)
    if gap(nearest) >= gap(whole):
        return name, whole
    return f"{name} x{width:.2f}", replace(nearest, name=f"{whole.name} x{width:.2f}")


def steps_of(plan: SearchPlan, proxies: tuple[ArchSpec, ...], images: int, batch: int) -> int:
    """Return how many steps each is trained: `EPOCHS`, or what the preset's MACs allow; no clock decides."""
    most = max(proxy.macs for proxy in proxies) * PASSES * batch
    return int(max(1, min(EPOCHS * (images // batch), plan.preset.verdict_gmacs * 1e9 / most)))


def make_verdict(plan: SearchPlan, found: ArchSpec, out: Path, reporter: ProgressReporter) -> Verdict | None:
    """Return the verdict on `found`, that in the run folder if it is there; None where none is wanted."""
    if not wants_verdict(plan):
        return None
    known = load_verdict(out)
    if known is not None and known.found.digest == found.digest:
        return known
    latency = plan.model.predict_ms(found)
    name, baseline = baseline_at(plan, latency)
    proxies = tuple(scale_down(arch, plan.proxy_resolution, plan.proxy_width) for arch in (found, baseline))
    seed = plan.settings.seed
    data = at_resolution(validation_view(plan.dataset, plan.preset.validation_fraction, seed), plan.proxy_resolution)
    batch = min(BATCH, len(data.x_train))
    steps = steps_of(plan, proxies, len(data.x_train), batch)
    report_timing(reporter, Schedule((verdict_phase(plan, 2 * steps),)))
    reporter.progress(Progress(VERDICT, 0, 2 * steps))
    comparison = Comparison(data, TrainingConfig(batch_size=batch, seed=seed), steps)
    hits = train_side_by_side(proxies, comparison)
    reporter.progress(Progress(VERDICT, 2 * steps, 2 * steps))
    difference, error = paired_difference(*hits)
    accuracies = [as_accuracy(plan, total(one), len(one), trained_for_steps(steps), score_error(one)) for one in hits]
    verdict = Verdict(
        Trained("found", found.digest, latency, accuracies[0]),
        Trained(name, baseline.digest, plan.model.predict_ms(baseline), accuracies[1]),
        plan.model.unit, steps, seed, difference, error,
    )  # fmt: skip
    save_verdict(verdict, out)
    return verdict
