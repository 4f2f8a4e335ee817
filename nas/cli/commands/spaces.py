"""nas spaces: the search spaces with their sizes."""

import argparse
from typing import Any

from latency_models.latency_error import error_of
from nas.cli.models import latency_model
from nas.cli.output import show
from nas.registry import SPACES, load
from nas.report.spaces import space_row


def run(args: argparse.Namespace) -> None:
    """Print the search spaces, with the reachable range of latencies where a device is named."""
    rows = [_row(name, args) for name in SPACES]
    show(args, rows, "nas.cli.tables.spaces:spaces_table", rows)


def _row(name: str, args: argparse.Namespace) -> dict[str, Any]:
    published = load("space", SPACES, name)
    model = latency_model(args, args.resolution, published.input_shape.channels, published.num_classes)
    row = space_row(name, args.resolution, model)
    if model is None:
        return row
    ends = {"cheapest": row.pop("min_latency_ms"), "dearest": row.pop("max_latency_ms")}
    error = error_of(model)
    known = {"latency_error": error.to_json(), "setup": model.setup}
    return row | {"target": model.name, "latency_unit": model.unit} | ends | known
