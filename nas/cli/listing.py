"""nas zoo, targets, spaces, describe: what there is, and what a network costs on a device."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from nas.cli.arguments import Commands, add_device, add_json, count, device_flags
from nas.cli.specs import SPEC_OR_RUN
from nas.records.networks import arch_of

if TYPE_CHECKING:
    from rich.table import Table

    from latency_models.roofline import Roofline
    from nas.arch import ArchSpec

DEPLOYED_PX = 224
ZOO_HELP = (
    "List the reference networks. Commands that take a name also take NAME@WIDTH, NAME@PXpx and NAME@WIDTH,PXpx: "
    "mobilenetv2@0.75,192px is MobileNetV2 with 0.75 of its channels for images of 192 pixels. Width multipliers "
    "have MobileNetV1 to V3, Multi, EdgeTPU and MnasNet."
)
REFERENCE = "mobilenetv4-conv-s"  # what the latencies of an abstract device are relative to


def add_commands(commands: Commands) -> None:
    """Add the four commands."""
    describe = commands.add_parser("describe", help="draw a network with its costs on a device")
    describe.add_argument("spec", metavar="NAME|SPEC", help=SPEC_OR_RUN)
    add_device(describe)
    describe.add_argument("--resolution", type=count, metavar="N", help="deploy at N x N px (default: the spec's own)")
    describe.add_argument(
        "--forest", action="append", default=[], metavar="FILE", help="also what a forest predicts; may be repeated"
    )
    describe.add_argument("--kernels", action="store_true", help="a row per kernel instead: bytes, bound, ms")
    describe.add_argument("--out", metavar="FILE", help="also draw it into a new .svg, .png or .html")
    zoo = commands.add_parser("zoo", help="list the reference networks", description=ZOO_HELP)
    targets = commands.add_parser("targets", help="list the devices")
    spaces = commands.add_parser("spaces", help="list the search spaces with their sizes")
    add_device(spaces, default=None)
    spaces.add_argument("--resolution", type=count, default=DEPLOYED_PX, metavar="N", help="deployed px (default: 224)")
    for parser, run in ((describe, run_describe), (zoo, run_zoo), (targets, run_targets), (spaces, run_spaces)):
        add_json(parser)
        parser.set_defaults(run=run)


def model_of(args: argparse.Namespace, like: "ArchSpec") -> "Roofline | None":
    """Return the latency model that the device flags name, None where they name none.

    On an abstract device without a peak, latencies are relative to the reference network deployed as `like` is.
    """
    from latency_models.target import abstract_target, load_target
    from nas.space.scaling import with_input
    from nas.zoo import reference

    target = device_flags(args)
    if target is not None:
        return load_target(target).model(args.latency_model)
    if args.ridge_point is None:
        return None
    side, _, channels = like.input_shape
    scale = with_input(reference(REFERENCE), side, channels, like.num_classes)
    return abstract_target(args.ridge_point, args.peak_gmacs_per_s, scale)


def run_describe(args: argparse.Namespace) -> None:
    """Draw a network block by block, into a file too where one is named; with --kernels, print every kernel's cost."""
    from dataclasses import replace
    from pathlib import Path

    from nas.report.describe import describe, description_table, forest_row
    from nas.report.network_view import check_new_file, network_table, write
    from nas.space.scaling import with_input

    out = Path(args.out) if args.out else None
    if out:
        check_new_file(out)

    arch = arch_of(args.spec)
    if args.resolution is not None:
        arch = with_input(arch, args.resolution, arch.input_shape.channels, arch.num_classes)
    model = model_of(args, arch)
    assert model is not None  # a target is the default
    description = replace(describe(arch, model), forests=tuple(forest_row(path, arch) for path in args.forest))
    if out:
        write(arch, model, out)
    show(
        args,
        description.to_json(),
        lambda _: description_table(description) if args.kernels else network_table(arch, model),
    )
    if description.forests and not args.json:
        from nas.cli.live import console

        for forest in description.forests:
            console().print(str(forest), markup=False)


def run_zoo(args: argparse.Namespace) -> None:
    """Print the reference networks."""
    from nas.report.describe import zoo_rows, zoo_table
    from nas.zoo import ZOO

    show(args, zoo_rows(ZOO), zoo_table)


def run_targets(args: argparse.Namespace) -> None:
    """Print the devices."""
    from latency_models.target import list_targets
    from nas.report.describe import target_rows, target_table

    show(args, target_rows(list_targets()), target_table)


def run_spaces(args: argparse.Namespace) -> None:
    """Print the search spaces, with the reachable range of latencies where a device is named."""
    from nas.registry import SPACES

    rows = [_space_row(name, args) for name in SPACES]
    show(args, rows, _space_table)


def _space_row(name: str, args: argparse.Namespace) -> dict[str, Any]:
    from nas.registry import SPACES, load
    from nas.space.cost_table import compile_table
    from nas.space.staged import StagedSpace

    published = load("space", SPACES, name)
    shape = published.input_shape
    space = published.with_input(args.resolution, shape.channels, published.num_classes)
    coarse = space.coarse() if isinstance(space, StagedSpace) else None  # without a supernet, no two stages
    row: dict[str, Any] = {
        "name": name,
        "resolution": args.resolution,
        "num_classes": space.num_classes,
        "decisions": len(space.decisions),
        "size": space.size(),
        "coarse_decisions": len(coarse.decisions) if coarse else None,
        "coarse_size": coarse.size() if coarse else None,
    }
    model = model_of(args, space.decode((0,) * len(space.decisions)))
    if model is None:
        return row
    table = compile_table(space, model)
    unit = {"target": model.name, "latency_unit": model.unit}
    return row | unit | {"cheapest": float(table.minimum()[0]), "dearest": float(table.maximum()[0])}


def _space_table(rows: list[dict[str, Any]]) -> "Table":
    from nas.cli.live import aligned_table

    numbers = ["decisions", "architectures", "coarse decisions", "coarse architectures"]
    ranges = [f"{row['cheapest']:.3f} to {row['dearest']:.3f} {row['latency_unit']}" for row in rows if "target" in row]
    if ranges:
        numbers.append(f"latency on {rows[0]['target']}")
    where = f"at {rows[0]['resolution']} px, {rows[0]['num_classes']:,} classes" if rows else ""
    table = aligned_table(f"search spaces {where}", ("name",), numbers)
    for row, *latency in zip(rows, *([ranges] if ranges else []), strict=True):
        coarse = (f"{row[key]:,}" if row[key] is not None else "-" for key in ("coarse_decisions", "coarse_size"))
        sizes = (f"{row['size']:,} = {row['size']:.1e}", *coarse)
        table.add_row(row["name"], str(row["decisions"]), *sizes, *latency)
    return table


def show(args: argparse.Namespace, value: Any, table: Any) -> None:
    """Print `value` as JSON under --json, else the rich table that `table` makes of it."""
    if args.json:
        print(json.dumps(value, indent=2, allow_nan=False))
        return
    from nas.cli.live import console

    console().print(table(value))
