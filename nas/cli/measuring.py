"""nas measure: the latency of networks on this host, as a CSV that nas calibrate reads."""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.cli.arguments import Commands, count
from nas.cli.specs import SPEC_OR_RUN
from nas.errors import InvalidInput
from nas.records.networks import arch_of, is_run, is_training

if TYPE_CHECKING:
    from rich.table import Table

    from nas.arch import ArchSpec
    from nas.measure.benchmark import BenchmarkRow


def add_commands(commands: Commands) -> None:
    """Add the command."""
    measure = commands.add_parser("measure", help="measure the latency of networks on this host")
    measure.add_argument("specs", nargs="+", metavar="SPEC", help=f"{SPEC_OR_RUN}, or CSV with a column arch of these")
    measure.add_argument(
        "--runtime",
        default="onnxruntime",
        metavar="R",
        help="onnxruntime, litert or xla, float32 (default: onnxruntime)",
    )
    measure.add_argument("--threads", type=count, default=1, metavar="N", help="(default: 1)")
    measure.add_argument("--batch", type=count, default=1, metavar="N", help="images per run (default: 1)")
    measure.add_argument("--rounds", type=count, default=40, metavar="N", help="turns of each network (default: 40)")
    measure.add_argument("--repeats", type=count, default=5, metavar="N", help="timed runs per turn (default: 5)")
    measure.add_argument(
        "--group", type=count, default=32, metavar="N", help="networks in memory at once, taking turns (default: 32)"
    )
    measure.add_argument(
        "-o", "--out", default="measurements.csv", metavar="FILE",
        help="CSV, new or to go on with (default: measurements.csv)",
    )  # fmt: skip
    measure.set_defaults(run=run_measure)


def run_measure(args: argparse.Namespace) -> None:
    """Measure what the CSV does not hold yet, and print the rows of the networks that were named."""
    from nas.cli.live import LiveReporter, console
    from nas.measure.benchmark import BenchmarkConfig, busy, measure, wide
    from nas.registry import RUNTIMES, load

    runtime = load("runtime", RUNTIMES, args.runtime)
    settings = BenchmarkConfig(args.threads, args.batch, args.rounds, args.repeats, args.group)
    out = Path(args.out)
    archs = dict(networks(args.specs, out))
    shown = console()
    if caution := busy():
        shown.print(caution, markup=False)
    try:
        with LiveReporter() as reporter:
            rows = measure(archs, runtime, settings, out, advance=lambda *state: reporter.advance("measure", *state))
    except KeyboardInterrupt as stop:
        kept = f"{out} has what was measured" if out.exists() else "nothing was measured yet"
        raise KeyboardInterrupt(f"{kept}; the same command goes on") from stop
    shown.print(measurement_table(rows))
    if caution := wide(rows):
        shown.print(caution, markup=False)
    one = rows[0]
    shown.print(f"{one.versions}; threads: {one.threads}; images per run: {one.batch}; {one.machine}", markup=False)
    shown.print(f"wrote {out}", markup=False)


def networks(texts: Sequence[str], out: Path) -> Iterator[tuple[str, "ArchSpec"]]:
    """Yield (label, architecture) of what `texts` name; the label is a name, or a path relative to the folder of `out`.

    Raises `InvalidInput` where there is no such spec, or where a CSV lacks the column arch.
    """
    from nas.zoo import is_reference

    for text in texts:
        for one in _listed(text) if text.endswith(".csv") else [text]:
            arch = arch_of(one)
            yield one if is_reference(one) else os.path.relpath(_spec_file(one), out.parent), arch


def _listed(text: str) -> Iterator[str]:
    """Yield the networks in the column arch of a CSV; its paths are relative to its own folder."""
    from nas.measure.benchmark import read_table
    from nas.zoo import is_reference

    rows = read_table(Path(text), ["arch"])
    if not rows:
        raise InvalidInput(f"{text} lists no networks; write some with: nas calibrate --propose")
    for name in (row["arch"].strip() for row in rows):
        yield name if is_reference(name) else os.path.join(os.path.dirname(text), name)


def _spec_file(text: str) -> str:
    """Return the file that holds the spec of what `text` names."""
    name = "arch.json" if is_training(text) else "best.json" if is_run(text) else ""
    return os.path.join(text, name) if name else text


def measurement_table(rows: Sequence["BenchmarkRow"]) -> "Table":
    """Return the rows as a rich table."""
    from rich.text import Text

    from nas.cli.live import aligned_table

    table = aligned_table("latency on this host", ("network",), ("latency ms", "spread"))
    for row in rows:
        table.add_row(Text(row.arch), f"{row.latency_ms:.3f}", f"{row.spread:.1%}")
    return table
