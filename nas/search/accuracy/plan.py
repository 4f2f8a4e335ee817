"""How many trainings, how long and how often again, for a given number of processor seconds."""

from nas.errors import InvalidInput
from nas.search.accuracy.search import Schedule


def cost_s(schedule: Schedule, epoch_s: float, overhead_s: float) -> float:
    """Return the processor seconds of a schedule: of its epochs, and of the start of every network."""
    return schedule.epochs * epoch_s + schedule.candidates * overhead_s


def plan_trainings(core_s: float, epoch_s: float, overhead_s: float, epochs: int) -> Schedule:
    """Return the largest schedule of at most `core_s` processor seconds.

    `epoch_s` is what one epoch of one network takes, `overhead_s` what each network takes beside (compilation and
    start), `epochs` the full length. Raises `InvalidInput` where not even three networks can be trained.
    """
    rungs = tuple(sorted({max(1, epochs // 3), epochs}))
    best = None
    for candidates in range(3, 1025):
        start = min(candidates, max(4, candidates // 2))
        schedule = Schedule(candidates, start, max(1, candidates // 8), rungs, repeats=min(2, candidates // 6))
        if cost_s(schedule, epoch_s, overhead_s) > core_s:
            break
        best = schedule
    if best is None:
        least = cost_s(Schedule(3, 3, 1, rungs, repeats=0), epoch_s, overhead_s)
        raise InvalidInput(f"a search needs at least {least:.0f} processor seconds here, got {core_s:.0f}; give more")
    return best
