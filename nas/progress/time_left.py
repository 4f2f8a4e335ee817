"""How long a command still takes: its phases with what each is expected to cost, corrected by what is observed.

All functions are pure: `Timing` is a value, and every event of the work gives the next one. The model is

    time left = what is left to compile + what is left of each phase's steps x seconds per step.

A phase that has reported takes as long per step as it did so far, compilation left out. For one that has not begun, its
expectation is multiplied by the speed of this machine: seconds observed over seconds expected, of all that was seen of
its kind.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar


@dataclass(frozen=True)
class Phase:
    """A part of a command: the stage that reports it, its steps, and what they are expected to take, in seconds.

    Expectations hold for some machine; once a phase was observed, only their ratios count.
    """

    stage: str
    steps: int
    step_s: float
    compile_s: float = 0.0  # of all that comes before the first step
    early_steps: int = 0  # at the beginning, each of which takes `early_share` of a later one
    early_share: float = 1.0
    serial: bool = False  # what is no training or evaluation of networks: it is as fast as compilations are

    def work(self, step: int) -> float:
        """Return how much work the first `step` steps are, in later steps."""
        early = min(step, self.early_steps)
        return step - early + self.early_share * early

    def left(self, step: int) -> float:
        """Return how much work is left after `step`, in later steps."""
        return max(0.0, self.work(self.steps) - self.work(step))


@dataclass(frozen=True)
class Schedule:
    """Event: the phases that are known now. They replace those of the same stages; others come after them."""

    phases: tuple[Phase, ...]


@dataclass(frozen=True)
class Begun:
    """Event: a stage begins, after `step` steps that an earlier start of the run has done."""

    stage: str
    step: int = 0
    compiling: bool = False


@dataclass(frozen=True)
class Compiled:
    """Event: the programs of a stage are compiled; what follows are its steps.

    `step` is how many steps are done by then, where a first dispatch compiles and runs some: their time is not known.
    """

    stage: str
    step: int | None = None


T = TypeVar("T")
TimingEvent = Schedule | Begun | Compiled


@dataclass(frozen=True)
class Observed:
    """What was observed of one phase."""

    first: int = 0  # steps that were done when it began
    step: int = 0
    work_s: float = 0.0  # of the steps since `first`
    compile_s: float = 0.0
    begun: bool = False
    compiled: bool = False


@dataclass(frozen=True)
class Timing:
    """The state of the model: phases in order, what was observed of each, and the time of the last event."""

    phases: tuple[Phase, ...] = ()
    observed: tuple[Observed, ...] = ()
    at_s: float = 0.0
    compiling: bool = False

    @property
    def begun(self) -> bool:
        """Whether any phase has begun."""
        return any(seen.begun for seen in self.observed)

    @property
    def current(self) -> int:
        """The place in `phases` of the one under way: the last that has begun; -1 before the first."""
        return max((index for index, seen in enumerate(self.observed) if seen.begun), default=-1)

    def index(self, stage: str) -> int | None:
        """Return the place of a stage, None where it is no phase."""
        return next((index for index, phase in enumerate(self.phases) if phase.stage == stage), None)


def after(timing: Timing, event: TimingEvent, at_s: float) -> Timing:
    """Return the state after an event at the time `at_s`."""
    if isinstance(event, Schedule):
        return _scheduled(timing, event.phases, at_s)
    index = timing.index(event.stage)
    if index is None:
        return replace(timing, at_s=at_s, compiling=isinstance(event, Begun) and event.compiling)
    seen = timing.observed[index]
    if isinstance(event, Begun):
        # What lay between two stages is part of what comes before the first step.
        between = at_s - timing.at_s if event.compiling and not seen.begun else 0.0
        seen = Observed(event.step, event.step, compile_s=between, begun=True, compiled=not event.compiling)
        return _with(timing, index, seen, at_s, compiling=event.compiling)
    seen = replace(seen, compile_s=seen.compile_s + at_s - timing.at_s, begun=True, compiled=True)
    if event.step is not None:
        seen = replace(seen, first=event.step, step=event.step)
    return _with(timing, index, seen, at_s, compiling=False)


def advanced(timing: Timing, stage: str, step: int, steps: int, at_s: float) -> Timing:
    """Return the state after a stage has reported at the time `at_s` that `step` of `steps` are done."""
    index = timing.index(stage)
    if index is None:
        return replace(timing, at_s=at_s, compiling=False)
    phases = _changed(timing.phases, index, replace(timing.phases[index], steps=steps))
    seen = timing.observed[index]
    work_s = seen.work_s + max(0.0, at_s - timing.at_s)
    seen = replace(seen, step=step, work_s=work_s, begun=True, compiled=True)
    return _with(replace(timing, phases=phases), index, seen, at_s, compiling=False)


def seconds_left(timing: Timing, now_s: float) -> float | None:
    """Return the time that is left at `now_s`, never below 0; None where no phase is known."""
    if not timing.phases:
        return None
    compile_speed, step_speed = speeds(timing)
    current, since_s = timing.current, max(0.0, now_s - timing.at_s)
    total = 0.0
    for index, (phase, seen) in enumerate(zip(timing.phases, timing.observed, strict=True)):
        if index < current:
            continue
        compile_s = 0.0 if seen.compiled else max(0.0, phase.compile_s * compile_speed - seen.compile_s)
        speed = compile_speed if phase.serial else step_speed
        steps_s = phase.left(seen.step) * _step_s(phase, seen, speed)
        if index == current and timing.compiling:
            compile_s = max(0.0, compile_s - since_s)
        elif index == current:
            steps_s = max(0.0, steps_s - since_s)
        total += compile_s + steps_s
    return total


def speeds(timing: Timing) -> tuple[float, float]:
    """Return seconds observed over seconds expected, of compilations and of steps; each stands in for the other."""
    pairs = list(zip(timing.phases, timing.observed, strict=True))
    steps = [(seen.work_s, _done(phase, seen) * phase.step_s, phase.serial) for phase, seen in pairs]
    serial = [(seen.compile_s, phase.compile_s) for phase, seen in pairs if seen.compiled]
    compile_speed = _ratio([*serial, *((work_s, expected) for work_s, expected, alike in steps if alike and expected)])
    step_speed = _ratio((work_s, expected) for work_s, expected, alike in steps if not alike and expected)
    return compile_speed or step_speed or 1.0, step_speed or compile_speed or 1.0


def _ratio(pairs: Iterable[tuple[float, float]]) -> float | None:
    """Return the sum of what was observed over that of what was expected; None where nothing was."""
    observed, expected = (sum(column) for column in zip((0.0, 0.0), *pairs, strict=True))
    return observed / expected if observed > 0 and expected > 0 else None


def _done(phase: Phase, seen: Observed) -> float:
    """Return how much work of a phase was observed, in later steps."""
    return phase.work(seen.step) - phase.work(seen.first)


def _step_s(phase: Phase, seen: Observed, speed: float) -> float:
    """Return the seconds of a later step of a phase: as observed, else as expected at this speed."""
    done = _done(phase, seen)
    return seen.work_s / done if done > 0 else phase.step_s * speed


def _scheduled(timing: Timing, phases: Sequence[Phase], at_s: float) -> Timing:
    """Return the state with these phases in it, from `at_s` on."""
    known = {phase.stage: (phase, seen) for phase, seen in zip(timing.phases, timing.observed, strict=True)}
    known |= {phase.stage: (phase, known[phase.stage][1] if phase.stage in known else Observed()) for phase in phases}
    ordered, observed = zip(*known.values(), strict=True) if known else ((), ())
    return replace(timing, phases=ordered, observed=observed, at_s=timing.at_s if timing.begun else at_s)


def _with(timing: Timing, index: int, seen: Observed, at_s: float, *, compiling: bool) -> Timing:
    """Return the state with another observation of one phase, after an event at `at_s`."""
    return replace(timing, observed=_changed(timing.observed, index, seen), at_s=at_s, compiling=compiling)


def _changed(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    """Return `values` with another value at `index`."""
    return (*values[:index], value, *values[index + 1 :])
