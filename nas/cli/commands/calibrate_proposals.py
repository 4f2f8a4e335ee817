"""nas calibrate --propose N: specs that are worth measuring, and the table to fill in."""

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

from latency_models.calibration.propose import propose
from latency_models.target import abstract_target
from nas.arch import save_arch
from nas.cli.flags.calibrate import TO_MEASURE
from nas.cli.flags.shared import IMAGENET_PX
from nas.cli.folders import check_new_folder
from nas.cli.new_target import like_and_dtype
from nas.cli.output import say, show
from nas.files import new_folder, write_whole
from nas.registry import SPACES, load

RIDGE_POINT = 31.2  # of a CPU, for proposals without --like: Pixel 6, arXiv 2404.10518, Tab. 16


def run(args: argparse.Namespace) -> None:
    """Write specs worth measuring, and the table to fill."""
    like, _ = like_and_dtype(args)
    published = load("space", SPACES, args.space or "uib")
    side = args.resolution or IMAGENET_PX
    space = published.with_input(side, published.input_shape.channels, published.num_classes)
    folder = check_new_folder(Path(args.out or TO_MEASURE))
    model = like.model() if like else abstract_target(RIDGE_POINT, 1.0)
    proposed = propose(space, model, args.propose, seed=args.seed or 0)
    new_folder(folder)
    rows = []
    for number, (genotype, latency_ms) in enumerate(proposed):
        name = f"{space.name}-{number:03}"
        arch = replace(space.decode(genotype), name=name)
        save_arch(arch, folder / f"{name}.json")
        rows.append({"arch": f"{name}.json", "macs": arch.macs, "kernels": len(arch.kernels), "expected": latency_ms})
    table = folder / "specs.csv"
    write_whole(table, "arch,latency_ms\n" + "".join(f"{row['arch']},\n" for row in rows))
    value = {"folder": str(folder), "table": str(table), "specs": rows}
    show(args, value, "nas.cli.tables.proposals:proposals_table", rows, table)
    if not args.json:
        calibration = shlex.join(("nas", "calibrate", str(table), "--name", "my-device"))
        say(f"next: {calibration}\non this host instead of a device:")
        say(f"next: {shlex.join(('nas', 'measure', str(table), '--out', 'measured.csv'))}")
