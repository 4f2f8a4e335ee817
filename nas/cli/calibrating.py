"""nas calibrate: a target or a forest from a table of measured latencies, and which networks to measure for it."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.cli.arguments import Commands, add_json, count, seed
from nas.cli.forests import FOREST_SUFFIX, run_forest
from nas.cli.listing import DEPLOYED_PX, show
from nas.cli.specs import check_new_folder
from nas.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from latency_models.calibration.calibrate import CalibrationReport
    from latency_models.target import Target

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
TO_MEASURE = "to-measure"  # the folder that proposals go to
RIDGE_POINT = 31.2  # of a CPU, for proposals without --like: Pixel 6, arXiv 2404.10518, Tab. 16
NO_MACS = ("pool", "elementwise")  # kinds of kernels that do not multiply
WORST = 5  # residuals that are shown


def add_commands(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("calibrate", help="a target of your own from measured latencies")
    parser.add_argument(
        "measurements", nargs="?", metavar="MEASUREMENTS.csv",
        help="columns arch (spec beside the file, or a reference network) and latency_ms; optional batch, energy_mj, "
        "runtime, threads, machine",
    )  # fmt: skip
    parser.add_argument("--name", metavar="N", help="name of the new target")
    parser.add_argument("--like", metavar="T", help="target that gives byte widths, free kinds and a first guess")
    parser.add_argument("--dtype", metavar="D", help="int8, fp16 or fp32 (default: fp32, or that of --like)")
    parser.add_argument("-o", "--out", metavar="PATH", help=f"new file (default: NAME.toml), or folder ({TO_MEASURE})")
    parser.add_argument(
        "--model", choices=("roofline", "forest"), default="roofline",
        help="forest: a random forest in NAME.forest.json, from 20 networks up (default: roofline, a target)",
    )  # fmt: skip
    parser.add_argument("--of", choices=("latency", "energy"), help="what a forest predicts (default: latency)")
    parser.add_argument("--propose", type=count, metavar="N", help="write N networks worth measuring instead")
    parser.add_argument("--space", metavar="S", help="space to propose from (default: uib)")
    parser.add_argument("--resolution", type=count, metavar="N", help=f"px of proposals (default: {DEPLOYED_PX})")
    parser.add_argument("--seed", type=seed, metavar="S", help="of proposals (default: 0)")
    add_json(parser)
    parser.set_defaults(run=run_calibrate)


def run_calibrate(args: argparse.Namespace) -> None:
    """Fit and write a target, or write what to measure for one."""
    if args.propose is not None:
        _propose(args)
        return
    proposals = {"--space": args.space, "--resolution": args.resolution, "--seed": args.seed}
    if given := [flag for flag, value in proposals.items() if value is not None]:
        raise InvalidInput(f"{given[0]} belongs to --propose N; a fit has no use for it")
    if args.measurements is None:
        raise InvalidInput("name a CSV file of measurements, or give --propose N for networks worth measuring")
    if args.model == "forest":
        run_forest(args, _new_file(args, FOREST_SUFFIX, "forest"))
        return
    if args.of is not None:
        raise InvalidInput("--of belongs to --model forest; a target holds latency, and energy where it was measured")
    from latency_models.calibration.calibrate import calibrate
    from latency_models.calibration.measurements import read_measurements
    from latency_models.target_file import target_toml
    from nas.files import write_whole

    path = _new_file(args, ".toml", "target")
    like, dtype = _like(args)
    report = calibrate(read_measurements(Path(args.measurements)), path.stem, like=like, dtype=dtype)
    write_whole(path, target_toml(report.target))
    show(args, report_json(report, path), lambda _: report_tables(report, path))


def _new_file(args: argparse.Namespace, suffix: str, kind: str) -> Path:
    """Return the file to write, refused where something is there or the name is taken."""
    from latency_models.target import list_targets

    if args.name is None and args.out is None:
        raise InvalidInput(f"the new {kind} needs a name: --name my-phone")
    path = Path(args.out or f"{args.name}{suffix}")
    if not path.name.endswith(suffix):
        raise InvalidInput(f"a {kind} is a {suffix} file, so -o must end so, got {path}")
    stem = path.name.removesuffix(suffix)
    name = args.name or stem
    if not NAME.fullmatch(name) or name.endswith(suffix):
        raise InvalidInput(f"--name must be letters, digits, '.', '_' and '-' without {suffix}, got '{name}'")
    if args.name and stem != args.name:
        raise InvalidInput(f"a {kind} is named after its file: --name {args.name} and -o {path} contradict; give one")
    if taken := [target.name for target in list_targets() if name in (target.name, *target.aliases)]:
        raise InvalidInput(f"the name '{name}' is taken by the target {taken[0]} of this engine; choose another --name")
    if path.exists():
        raise InvalidInput(f"{path} exists; choose another --name or -o, or remove it")
    if not path.parent.is_dir():
        raise InvalidInput(f"there is no folder {path.parent} for {path}; make it, or name another with -o")
    return path


def _like(args: argparse.Namespace) -> "tuple[Target | None, Any]":
    from latency_models.calibration.calibrate import BYTES
    from latency_models.target import load_target

    if args.dtype is not None and args.dtype not in BYTES:
        raise InvalidInput(f"--dtype must be one of {', '.join(BYTES)}, got '{args.dtype}'")
    if args.dtype is not None and args.like is not None:
        raise InvalidInput("--like gives the data type already; give --dtype or --like, not both")
    return load_target(args.like) if args.like else None, args.dtype or "fp32"


def _propose(args: argparse.Namespace) -> None:
    """Write specs worth measuring, and the table to fill."""
    from dataclasses import replace

    from latency_models.calibration.propose import propose
    from latency_models.target import abstract_target
    from nas.arch import save_arch
    from nas.files import new_folder, write_whole
    from nas.registry import SPACES, load

    if args.measurements is not None or args.name is not None:
        raise InvalidInput("--propose N measures nothing: it goes without a CSV file and without --name")
    if args.model == "forest" or args.of is not None:
        raise InvalidInput("--propose N fits nothing: it goes without --model forest and without --of")
    like, _ = _like(args)
    published = load("space", SPACES, args.space or "uib")
    side = args.resolution or DEPLOYED_PX
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
    show(args, {"folder": str(folder), "table": str(table), "specs": rows}, lambda _: _proposals(rows, table))


def _proposals(rows: list[dict[str, Any]], table: Path) -> "Group":
    from rich.console import Group
    from rich.text import Text

    from nas.cli.live import aligned_table

    shown = aligned_table("networks worth measuring", ("spec",), ("M MACs", "kernels", "against the fastest"))
    least = min(row["expected"] for row in rows)
    for row in rows:
        times = f"{row['expected'] / least:.2f} x"
        shown.add_row(row["arch"], f"{row['macs'] / 1e6:,.0f}", str(row["kernels"]), times)
    todo = Text(f"measure them, fill in latency_ms of {table}, then: nas calibrate {table} --name NAME")
    return Group(shown, todo)


def report_json(report: "CalibrationReport", path: Path) -> dict[str, Any]:
    """Return a calibration as plain JSON values."""
    from nas.report.describe import target_rows

    calibration = report.target.calibration
    assert calibration is not None
    energy = report.energy
    return {
        "file": str(path),
        **next(iter(target_rows([report.target]))),
        "calibration": {k: list(v) if isinstance(v, tuple) else v for k, v in vars(calibration).items()},
        "overlap": report.model.overlap,
        "batch": report.model.batch,
        "scores": {form: vars(each) for form, each in report.scores.items()},
        "residuals": [vars(residual) for residual in report.residuals],
        "warnings": list(report.warnings),
        "energy": energy
        and {**vars(energy), "scores": vars(energy.scores), "ridge_regression": vars(energy.ridge_regression)},
    }


def report_tables(report: "CalibrationReport", path: Path) -> "Group":
    """Return what a person wants to see of a calibration."""
    from rich.console import Group
    from rich.text import Text

    calibration = report.target.calibration
    assert calibration is not None
    parts: list[Any] = [_figures(report), _scores(report)]
    if report.energy:
        parts.append(_energy(report))
    parts.append(_residuals(report))
    low, high = calibration.latency_ms
    model = report.model
    words = "the longer of computing and moving bytes" if model.overlap else "computing, then moving bytes"
    images = "picture" if model.batch == 1 else f"batch of {model.batch} images"
    here = f" or --target {path.stem} here" if path == Path(path.name) else ""
    lines = [
        f"a kernel takes {words}, plus {model.time_per_kernel_us:.4g} us; a {images} {model.launch_overhead_ms:.4g} ms more; "
        f"ridge point {model.ridge_point:.4g} MACs per byte",
        f"90 % of new networks like these lie within {calibration.interval_90_percent:.1f} % of the prediction; "
        f"measured: {calibration.networks} networks, {low:g} to {high:g} ms",
        *_energy_line(report),
        *(f"warning: {warning}" for warning in report.warnings),
        f"wrote {path}; use it with --target {path}{here}",
    ]
    return Group(*parts, Text("\n".join(lines)))


def _figures(report: "CalibrationReport") -> "Table":
    from latency_models.calibration.fit import efficiencies
    from nas.cli.live import aligned_table
    from nas.ops import KINDS

    model, calibration = report.model, report.target.calibration
    assert calibration is not None
    table = aligned_table(f"{report.target.name}: rates that kernels reach", ("kind",), ("GMACs/s", "GB/s"))
    for kind, of_peak, of_bandwidth in zip(KINDS, *efficiencies(model), strict=True):
        if kind in calibration.kinds:
            peak, bandwidth = model.peak_gmacs_per_s * of_peak, model.bandwidth_gb_per_s * of_bandwidth
            table.add_row(kind, "-" if kind in NO_MACS else f"{peak:,.4g}", f"{bandwidth:,.4g}")
    table.add_row("all together", f"{model.peak_gmacs_per_s:,.4g}", f"{model.bandwidth_gb_per_s:,.4g}")
    return table


def _scores(report: "CalibrationReport") -> "Table":
    from nas.cli.live import aligned_table

    table = aligned_table(
        "latency of networks left out of the fit", ("form",), ("Spearman", "Kendall", "MAPE %", "within 10 %")
    )
    for form, each in report.scores.items():
        ranks = ["-" if value is None else f"{value:.3f}" for value in (each.spearman, each.kendall)]
        table.add_row(form, *ranks, f"{each.mape_percent:.1f}", f"{each.within_10_percent:.0f} %")
    return table


def _energy(report: "CalibrationReport") -> "Table":
    from nas.cli.live import aligned_table

    energy = report.energy
    assert energy is not None
    table = aligned_table(f"energy of {energy.networks} networks, left out", ("form",), ("Spearman", "MAPE %"))
    for form, each in (("power, MACs, bytes", energy.scores), ("ridge regression", energy.ridge_regression)):
        rank = "-" if each.spearman is None else f"{each.spearman:.3f}"
        table.add_row(form, rank, f"{each.mape_percent:.1f}")
    return table


def _energy_line(report: "CalibrationReport") -> list[str]:
    if report.energy is None:
        return []
    energy = report.energy
    watts, picojoules = f"{energy.power_w:.4g} W while it runs", f"{energy.pj_per_mac:.4g} pJ per MAC"
    return [f"energy: {watts}, {picojoules}, {energy.pj_per_byte:.4g} pJ per byte"]


def _residuals(report: "CalibrationReport") -> "Table":
    from nas.cli.live import aligned_table

    table = aligned_table("worst residuals", ("network",), ("measured ms", "fitted ms", "left out, error %"))
    for row in report.residuals[:WORST]:
        table.add_row(row.name, f"{row.measured_ms:.4g}", f"{row.fitted_ms:.4g}", f"{row.left_out_percent:+.1f}")
    return table
