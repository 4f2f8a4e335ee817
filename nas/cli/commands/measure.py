"""nas measure: the latency of networks on this host, as a CSV that nas calibrate reads."""

import argparse
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from latency_models.calibration.calibrate import LEAST_NETWORKS
from latency_models.measurement_table import is_table, read_table
from nas.arch import ArchSpec
from nas.cli.console import aligned_table, console, show_whole
from nas.cli.live import LiveReporter
from nas.cli.new_target import THIS_HOST, free_name
from nas.cli.signals import interruptible
from nas.errors import InvalidInput
from nas.measure.benchmark import BenchmarkConfig, BenchmarkRow, busy_caution, measure, spread_caution
from nas.records.networks import arch_of, is_run, is_training
from nas.registry import RUNTIMES, load
from nas.report.terminal_table import FittedTable
from nas.zoo import is_reference

DEFAULT_OUT, DEFAULT_RUNTIME = "measurements.csv", "onnxruntime"


def run(args: argparse.Namespace) -> None:
    """Measure what the CSV does not hold yet, and print the rows of the networks that were named."""
    if args.top is not None:
        _measure_top(args)
        return
    runtime = load("runtime", RUNTIMES, args.runtime or DEFAULT_RUNTIME)
    config = BenchmarkConfig(args.threads or 1, args.batch, args.rounds, args.repeats, args.group)
    out = Path(args.out or DEFAULT_OUT)
    archs = dict(networks(args.specs, out))
    shown = console()
    if caution := busy_caution():
        shown.print(caution, markup=False)

    def advice() -> str:
        kept = f"{out} has what was measured" if out.exists() else "nothing was measured yet"
        return f"{kept}; the same command goes on"

    with interruptible(advice), LiveReporter() as reporter:
        rows = measure(archs, runtime, config, out, advance=lambda *state: reporter.advance("measure", *state))
    shown.print(measurement_table(rows))
    if caution := spread_caution(rows):
        shown.print(caution, markup=False)
    one = rows[0]
    shown.print(f"{one.versions}; threads: {one.threads}; images per run: {one.batch}; {one.machine}", markup=False)
    calibrate = shlex.join(("nas", "calibrate", str(out), "--name", free_name(THIS_HOST)))
    show_whole([f"wrote {out}", *([f"next: {calibrate}"] if len(rows) >= LEAST_NETWORKS else [])])


def _measure_top(args: argparse.Namespace) -> None:
    """Measure the last candidates of a run, and print them beside their predictions."""
    from nas.cli.measuring import Conditions, measure_candidates, show_measured  # imports jax

    folder, out = Path(args.specs[0]), Path(args.out) if args.out else None
    how = Conditions.of(folder, args.runtime, args.threads, args.rounds, args.repeats)
    show_measured(folder, *measure_candidates(args, folder, args.top, how, out))


def networks(texts: Sequence[str], out: Path) -> Iterator[tuple[str, ArchSpec]]:
    """Yield (label, architecture) of what `texts` name; the label is a name, or a path relative to the folder of `out`.

    Raises `InvalidInput` where there is no such spec, or where a CSV lacks the column arch.
    """
    for text in texts:
        for one in _listed(text) if is_table(text) else [text]:
            arch = arch_of(one)
            yield one if is_reference(one) else os.path.relpath(_spec_file(one), out.parent), arch


def _listed(text: str) -> Iterator[str]:
    """Yield the networks in the column arch of a CSV; its paths are relative to its own folder."""
    rows = read_table(Path(text), ["arch"]).rows
    if not rows:
        raise InvalidInput(f"{text} lists no networks; write some with: nas calibrate --propose")
    for name in (row["arch"] for row in rows):
        yield name if is_reference(name) else os.path.join(os.path.dirname(text), name)


def _spec_file(text: str) -> str:
    """Return the file that holds the spec of what `text` names."""
    name = "arch.json" if is_training(text) else "best.json" if is_run(text) else ""
    return os.path.join(text, name) if name else text


def measurement_table(rows: Sequence[BenchmarkRow]) -> FittedTable:
    """Return the rows as a table."""
    table = aligned_table("latency on this host", ("network",), ("latency ms", "spread"))
    for row in rows:
        table.add_row(row.arch, f"{row.latency_ms:.3f}", f"{row.spread:.1%}")
    return table
