"""Executors and trainers of a search: this process evaluates and trains candidates, or Ray where it is asked for.

Ray is imported only then. `InvalidInput` where it cannot be had as asked, so that this is reported before any work.
"""

from functools import partial

from nas.errors import InvalidInput
from nas.search import loop
from nas.search.loop import OpenExecutor
from nas.supernet.presets import load_preset
from nas.training import candidates
from nas.training.candidates import OpenTrainers
from nas.training.trainees import OpenTrainees, one_by_one


def open_executor(workers: int | None, address: str | None) -> OpenExecutor:
    """Return what opens the executor: `workers` Ray processes here or on the cluster at `address`, or this process."""
    if workers is None and address is None:
        return loop.in_process
    from nas.distributed.cluster import check
    from nas.distributed.executor import RayExecutor

    check(workers or 1, address)
    return partial(RayExecutor, workers=workers or 1, address=address)


def open_trainees(workers: int | None, address: str | None) -> OpenTrainees:
    """Return what trains single networks: `workers` Ray processes here or on the cluster at `address`, or this one."""
    if workers is None and address is None:
        return one_by_one
    from nas.distributed.cluster import check
    from nas.distributed.trials import trainees_on_workers

    check(workers or 1, address)
    return partial(trainees_on_workers, workers=workers or 1, address=address)


def open_trainers(workers: int | None, address: str | None, preset: str, finalists: int | None) -> OpenTrainers:
    """Return what opens the trainers of a joint search's candidates; `InvalidInput` where workers would have none."""
    if workers is None and address is None:
        return candidates.in_process
    if load_preset(preset).with_finalists(finalists).retraining is None:
        none = "--finalists 0 asks for none" if finalists == 0 else f"the preset {preset} has none"
        raise InvalidInput(
            f"--workers of a joint search train finalists, and {none}: name --finalists N, or choose an --algorithm "
            "over a supernet trained once, nsga2 say"
        )
    from nas.distributed.cluster import check
    from nas.distributed.trials import on_workers

    check(workers or 1, address)
    return partial(on_workers, workers=workers or 1, address=address)
