"""nas calibrate --propose N: specs that are worth measuring, and the table to fill in."""

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

from latency_models.calibration.kept import keeps_measurements, load_kept
from latency_models.calibration.measurements import read_measurements
from latency_models.calibration.propose import propose
from latency_models.roofline import Roofline
from latency_models.target import Target, abstract_target, load_target
from nas.arch import ArchSpec, save_arch
from nas.cli.flags.calibrate import TO_MEASURE
from nas.cli.flags.shared import IMAGENET_PX
from nas.cli.folders import check_new_folder
from nas.cli.new_target import THIS_HOST, free_name, like_and_dtype
from nas.cli.output import say, show
from nas.files import new_folder, write_whole
from nas.registry import RUNTIMES, SPACES, load

MINE = "my-device"  # name of a new target
RIDGE_POINT = 31.2  # of a CPU, for proposals without --like: Pixel 6, arXiv 2404.10518, Tab. 16


def run(args: argparse.Namespace) -> None:
    """Write specs worth measuring, and the table to fill."""
    target, model = _device(args)
    known = _known(args, target)
    published = load("space", SPACES, args.space or "uib")
    size = args.resolution or IMAGENET_PX
    space = published.with_input(size, published.input_shape.channels, published.num_classes)
    folder = check_new_folder(Path(args.out or TO_MEASURE))
    proposed = propose(space, model, args.propose, seed=args.seed or 0, known=known, near_ms=args.latency_ms)
    new_folder(folder)
    rows = []
    for number, (genotype, latency_ms) in enumerate(proposed.networks):
        name = f"{space.name}-{number:03}"
        arch = replace(space.decode(genotype), name=name)
        save_arch(arch, folder / f"{name}.json")
        rows.append({"arch": f"{name}.json", "macs": arch.macs, "kernels": len(arch.kernels), "expected": latency_ms})
    table = folder / "specs.csv"
    write_whole(table, "arch,latency_ms\n" + "".join(f"{row['arch']},\n" for row in rows))
    value = {"folder": str(folder), "table": str(table), "specs": rows, "known": len(known)}
    if known:
        value["expected_width"] = proposed.width
    show(args, value, "nas.cli.tables.proposals:proposals_table", rows, table, len(known), proposed.width)
    if not args.json:
        keeps = target is not None and keeps_measurements(target)
        fit = ("--add", str(table), "--target", args.target) if keeps else (str(table), "--name", free_name(MINE))
        say(f"next: {shlex.join(('nas', 'calibrate', *fit))}\non this host instead of a device:")
        say(f"next: {shlex.join(('nas', 'measure', str(table), *_conditions(target), '--out', 'measured.csv'))}")
        if keeps and _conditions(target):
            back = shlex.join(("nas", "calibrate", "--add", "measured.csv", "--target", args.target))
            say(f"then, for the same target with these:\nnext: {back}")
        if args.add and not keeps:
            added = [word for one in args.add for word in ("--add", one)]
            on_host = ("--target", f"./{free_name(THIS_HOST)}.toml")  # what nas measure proposes to calibrate
            say(f"then, with what was measured before:\nnext: {shlex.join(('nas', 'calibrate', *added, *on_host))}")


def _device(args: argparse.Namespace) -> tuple[Target | None, Roofline]:
    """Return the target that proposals are for, None where it is not known, and the model that they begin from."""
    if args.target:
        target = load_target(args.target)
        return target, target.model()
    like, _ = like_and_dtype(args)
    return None, like.model() if like else abstract_target(RIDGE_POINT, 1.0)


def _known(args: argparse.Namespace, target: Target | None) -> list[ArchSpec]:
    """Return what is measured already: what the target was fitted on, where it keeps that, and the tables of --add."""
    first = load_kept(args.target)[1].measured.networks if target and keeps_measurements(target) else ()
    more = [one for table in args.add for one in read_measurements(Path(table)).networks]
    return list({one.arch.digest: one.arch for one in (*first, *more)}.values())


def _conditions(target: Target | None) -> list[str]:
    """Return the flags of `nas measure` under which a target was measured on a host, none where it was elsewhere."""
    known = target.calibration if target else None
    if known is None or known.runtime not in RUNTIMES:
        return []
    threads = ["--threads", known.threads] if known.threads and known.threads != "1" else []
    return ["--runtime", known.runtime, *threads]
