"""Who evaluates the candidates of a search, and who trains its finalists: this process, or Ray where flags ask for it.

Ray is imported only then. `InvalidInput` where it cannot be had as asked, so that this is reported before any work.
"""

import argparse
from functools import partial
from typing import Any

from nas.errors import InvalidInput
from nas.runs.settings import SearchConfig
from nas.search import loop
from nas.search.loop import OpenExecutor
from nas.supernet.presets import load_preset
from nas.training import candidates
from nas.training.candidates import OpenTrainers


def executor(args: argparse.Namespace) -> OpenExecutor:
    """Return who evaluates candidates."""
    if args.workers is None and args.ray_address is None:
        return loop.in_process
    from nas.distributed.executor import RayExecutor

    return partial(RayExecutor, **_cluster(args))


def trainers(args: argparse.Namespace, config: SearchConfig) -> OpenTrainers:
    """Return who trains the finalists of a joint search; `InvalidInput` where there will be none for workers."""
    if args.workers is None and args.ray_address is None:
        return candidates.in_process
    if load_preset(config.preset).with_finalists(config.finalists).retraining is None:
        none = "--finalists 0 asks for none" if config.finalists == 0 else f"the preset {config.preset} has none"
        raise InvalidInput(
            f"--workers of a joint search train finalists, and {none}: name --finalists N, or choose an --algorithm "
            "over a supernet trained once, nsga2 say"
        )
    from nas.distributed.trials import on_workers

    return partial(on_workers, **_cluster(args))


def _cluster(args: argparse.Namespace) -> dict[str, Any]:
    """Return how many workers the flags ask for, and where; `InvalidInput` where they cannot be had."""
    from nas.distributed.cluster import check

    workers, address = args.workers or 1, args.ray_address
    check(workers, address)
    return {"workers": workers, "address": address}
