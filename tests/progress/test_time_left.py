"""Laws of the time left: never negative, exact at a constant speed, falling with time, learnt from any phase."""

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nas.progress.time_left import Begun, Compiled, Phase, Schedule, Timing, TimingEvent, advanced, after, seconds_left

seconds = st.floats(0.01, 100)
speeds = st.floats(0.1, 10)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Phase, ...]:
    """One to four phases; some compile, some have cheaper steps at the beginning."""
    found = []
    for number in range(draw(st.integers(1, 4))):
        steps = draw(st.integers(1, 30))
        found.append(
            Phase(
                f"stage {number}", steps, draw(seconds), draw(st.just(0.0) | seconds),
                draw(st.integers(0, steps)), draw(st.floats(0.1, 1)), draw(st.booleans()),
            )
        )  # fmt: skip
    return tuple(found)


def run(phases: tuple[Phase, ...], speed: float) -> Iterator[tuple[float, TimingEvent | tuple[str, int, int]]]:
    """Yield the events, with their times, of a run in which all takes `speed` times what is expected."""
    now = 0.0
    yield now, Schedule(phases)
    for phase in phases:
        yield now, Begun(phase.stage, compiling=phase.compile_s > 0)
        if phase.compile_s > 0:
            now += phase.compile_s * speed
            yield now, Compiled(phase.stage)
        for step in range(1, phase.steps + 1):
            now += (phase.work(step) - phase.work(step - 1)) * phase.step_s * speed
            yield now, (phase.stage, step, phase.steps)


def states(events: Iterator[tuple[float, TimingEvent | tuple[str, int, int]]]) -> Iterator[tuple[float, Timing]]:
    """Yield the state after each event, with its time."""
    timing = Timing()
    for now, event in events:
        timing = advanced(timing, *event, now) if isinstance(event, tuple) else after(timing, event, now)
        yield now, timing


def close(left: float | None, expected: float, whole: float) -> bool:
    return left is not None and abs(left - expected) <= 1e-6 * whole


@given(schedules(), speeds)
def test_at_a_constant_speed_the_time_left_is_exact_from_the_first_observation_on(
    phases: tuple[Phase, ...], speed: float
) -> None:
    end = max(now for now, _ in run(phases, speed))
    for now, timing in states(run(phases, speed)):
        if any(seen.compile_s or seen.work_s for seen in timing.observed):
            assert close(seconds_left(timing, now), end - now, end)
    assert close(seconds_left(timing, end), 0, end)


@given(schedules(), speeds, st.floats(0, 1e4))
def test_it_is_never_negative_and_falls_while_nothing_is_reported(
    phases: tuple[Phase, ...], speed: float, later_s: float
) -> None:
    for now, timing in states(run(phases, speed)):
        soon, late = seconds_left(timing, now), seconds_left(timing, now + later_s)
        assert soon is not None and late is not None and 0 <= late <= soon


@given(schedules(), speeds)
def test_at_the_expected_ratios_it_falls_monotonically(phases: tuple[Phase, ...], speed: float) -> None:
    end = max(now for now, _ in run(phases, speed))
    left = [
        seconds_left(timing, now) or 0.0
        for now, timing in states(run(phases, speed))
        if any(seen.compile_s or seen.work_s for seen in timing.observed)
    ]
    assert all(after <= before + 1e-6 * end for before, after in pairwise(left))


@given(st.integers(2, 50), seconds, seconds, seconds)
def test_it_converges_to_the_observed_rate_whatever_was_expected(
    done: int, expected_s: float, early_s: float, actual_s: float
) -> None:
    """A phase that is slow at first and then runs at another rate: the estimate is the mean so far, soon near it."""
    timing, now = after(Timing(), Schedule((Phase("train", 1000, expected_s),)), 0.0), 0.0
    for step in range(1, done + 1):
        now += early_s if step == 1 else actual_s
        timing = advanced(timing, "train", step, 1000, now)
    left, mean_s = seconds_left(timing, now), (early_s + (done - 1) * actual_s) / done
    assert left is not None and abs(left - (1000 - done) * mean_s) < 1e-6 * left


def test_what_a_first_dispatch_compiles_is_left_out_of_the_rate() -> None:
    timing = after(Timing(), Schedule((Phase("train", 100, 1.0, 5.0), Phase("writing", 1, 2.0))), 0.0)
    timing = after(timing, Begun("train", compiling=True), 0.0)
    assert seconds_left(timing, 3.0) == 104.0  # 2 s of compilation, 100 steps, writing
    assert seconds_left(timing, 30.0) == 102.0  # a compilation that is overdue takes no time from what follows
    timing = after(timing, Compiled("train", 1), 10.0)
    timing = advanced(timing, "train", 3, 100, 11.0)
    assert seconds_left(timing, 11.0) == 97 * 0.5 + 2.0 * 0.5


def test_a_phase_of_another_kind_is_not_judged_by_the_steps_of_networks() -> None:
    phases = (Phase("train", 100, 0.001, 10.0), Phase("export", 1, 5.0, serial=True))
    timing = after(after(Timing(), Schedule(phases), 0.0), Begun("train", compiling=True), 0.0)
    timing = advanced(after(timing, Compiled("train"), 2.0), "train", 100, 100, 102.0)  # a thousand times as slow
    assert seconds_left(timing, 102.0) == 1.0  # compilations were five times as fast as expected


def test_a_run_that_goes_on_counts_the_steps_of_this_start_only() -> None:
    timing = after(Timing(), Schedule((Phase("coarse", 100, 1.0, early_steps=20, early_share=0.5),)), 0.0)
    timing = after(timing, Begun("coarse", 10), 5.0)
    timing = advanced(timing, "coarse", 30, 100, 20.0)  # ten early steps, ten others: 15 units of work in 15 s
    assert seconds_left(timing, 20.0) == 70.0


def test_phases_that_are_known_later_are_added_and_unknown_stages_are_ignored() -> None:
    assert seconds_left(Timing(), 1.0) is None
    timing = after(Timing(), Schedule((Phase("train", 10, 1.0), Phase("export", 1, 4.0))), 0.0)
    timing = advanced(timing, "something", 1, 2, 1.0)
    timing = after(timing, Schedule((Phase("train", 20, 1.0), Phase("check", 1, 2.0))), 1.0)
    assert [phase.stage for phase in timing.phases] == ["train", "export", "check"]
    assert seconds_left(timing, 1.0) == 26.0
    assert seconds_left(advanced(timing, "export", 1, 1, 5.0), 5.0) == 2.0  # `train` was skipped
