"""How many trainings, how long and how often again, for a given number of processor seconds.

The shape was chosen by simulated searches (experiments/allocation_study.py has them and what they found): few
networks go on to the full length and the seconds go into further seeds, as a longer training with the same seed tells
little more than the shorter; the model is first asked when half of the networks are trained.
"""

from nas.errors import InvalidInput
from nas.search.accuracy.search import Schedule

FEWEST = 3  # networks
MOST = 1024
SURVIVORS = 4  # networks that reach the full length, about


def cost_s(schedule: Schedule, epoch_s: float, overhead_s: float) -> float:
    """Return the processor seconds of a schedule: of its epochs, and of the start of every network."""
    return schedule.epochs * epoch_s + schedule.candidates * overhead_s


def schedule_of(candidates: int, epochs: int) -> Schedule:
    """Return the schedule for so many networks, with `epochs` as the full length."""
    return Schedule(
        candidates,
        start=min(candidates, max(4, candidates // 2)),
        batch=max(1, candidates // 8),
        rungs=tuple(sorted({max(1, epochs // 3), epochs})),
        factor=min(6, max(2, round(candidates / SURVIVORS))),
        repeats=2 if candidates >= 12 else int(candidates >= 6),
    )


def plan_trainings(core_s: float, epoch_s: float, overhead_s: float, epochs: int) -> Schedule:
    """Return the schedule of the most networks that takes at most `core_s` processor seconds.

    `epoch_s` is what one epoch of one network takes, `overhead_s` what each network takes beside (compilation and
    start), `epochs` the full length. Raises `InvalidInput` where not even three networks can be trained.
    """
    fitting = [
        schedule
        for schedule in (schedule_of(candidates, epochs) for candidates in range(FEWEST, MOST + 1))
        if cost_s(schedule, epoch_s, overhead_s) <= core_s
    ]
    if not fitting:
        least = cost_s(schedule_of(FEWEST, epochs), epoch_s, overhead_s)
        got = max(0.0, core_s)
        raise InvalidInput(f"a search needs at least {least:.0f} processor seconds here, got {got:.0f}; give more")
    return fitting[-1]
