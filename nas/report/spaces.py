"""A search space in one row: its decisions, its size, and on a device the range of latencies that it reaches."""

from typing import Any

from nas.ops import Size, SizeLike
from nas.protocols import LatencyModel
from nas.registry import SPACES, load
from nas.space.cost_table import compile_table
from nas.space.staged import StagedSpace


def space_row(name: str, resolution: SizeLike, model: LatencyModel | None) -> dict[str, Any]:
    """Return a registered space at an input of this resolution; with a `model` the smallest and largest latency in ms.

    The counts of the coarse stage are None for a space without a supernet.
    """
    published = load("space", SPACES, name)
    space = published.with_input(resolution, published.input_shape.channels, published.num_classes)
    coarse = space.coarse() if isinstance(space, StagedSpace) else None
    row = {
        "name": name,
        "resolution": Size.of(resolution).json,
        "num_classes": space.num_classes,
        "decisions": len(space.decisions),
        "size": space.size(),
        "coarse_decisions": len(coarse.decisions) if coarse else None,
        "coarse_size": coarse.size() if coarse else None,
    }
    if model is None:
        return row
    table = compile_table(space, model)
    return row | {"min_latency_ms": float(table.minimum()[0]), "max_latency_ms": float(table.maximum()[0])}
