"""Executors and trainers of a search: this process evaluates and trains candidates, or Ray where it is asked for.

Ray is imported only then. `InvalidInput` where it cannot be had as asked, so that this is reported before any work.
"""

from functools import partial

from nas.errors import InvalidInput
from nas.runs.settings import SearchConfig
from nas.runs.teacher_answers import InProcessMakers, OpenMakers, PartMaker, made
from nas.search import loop
from nas.search.loop import OpenExecutor
from nas.supernet.presets import load_preset
from nas.training.members import IN_PROCESS, as_members
from nas.training.trainees import OpenTrainees, Trainers


def open_executor(workers: int | None, address: str | None) -> OpenExecutor:
    """Return what opens the executor: `workers` Ray processes here or on the cluster at `address`, or this process."""
    if workers is None and address is None:
        return loop.in_process
    from nas.distributed.cluster import check
    from nas.distributed.executor import RayExecutor

    check(workers or 1, address)
    return partial(RayExecutor, workers=workers or 1, address=address)


def open_makers(workers: int | None, address: str | None) -> OpenMakers:
    """Return what makes parts of a reinforced data set: Ray processes here or on the cluster at `address`, or this."""
    if workers is None and address is None:
        return InProcessMakers
    from nas.distributed.cluster import check
    from nas.distributed.executor import RayExecutor

    check(workers or 1, address)
    return partial(RayExecutor, PartMaker, workers=workers or 1, address=address, answer=made)


def open_trainees(workers: int | None, address: str | None) -> OpenTrainees:
    """Return what trains single networks: `workers` Ray processes here or on the cluster at `address`, or this one."""
    if workers is None and address is None:
        return as_members
    from nas.distributed.cluster import check
    from nas.distributed.trials import trainees_on_workers

    check(workers or 1, address)
    return partial(trainees_on_workers, workers=workers or 1, address=address)


def alone_on(workers: int | None, address: str | None) -> Trainers:
    """Return the trainers of what an accuracy model asks for, on Ray workers where they are asked for."""
    return Trainers(trainees=open_trainees(workers, address))


def open_trainers(workers: int | None, address: str | None, config: SearchConfig) -> Trainers:
    """Return the trainers of a joint search's networks; `InvalidInput` where workers would have none to train."""
    if workers is None and address is None:
        return IN_PROCESS
    if load_preset(config.preset).with_finalists(config.finalists).retraining is None and config.model_name is None:
        none = "--finalists 0 asks for none" if config.finalists == 0 else f"the preset {config.preset} has none"
        raise InvalidInput(
            f"--workers of a joint search train finalists, and {none}: name --finalists N, or choose an --algorithm "
            "over a supernet trained once, nsga2 say"
        )
    from nas.distributed.cluster import check
    from nas.distributed.trials import on_workers

    check(workers or 1, address)
    return Trainers(partial(on_workers, workers=workers or 1, address=address), open_trainees(workers, address))
