"""How time, memory and files grow with what a user has: long journals, many specs and targets, many images and classes.

    python -m experiments.growth [--only journal compare images] [--lines 100000] [--specs 1000] [--images 50000]

Each row is a command of its own process: seconds on the clock, processor seconds, the most memory, and the size of the
pages and pictures that it wrote, beside the limit that is promised. Exit status 1 where one is beyond.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CLASSES, SIDE = 10_000, 16
LOOKED_AT = (".html", ".png", ".svg")  # pages and pictures, whose size is promised


@dataclass(frozen=True)
class Limit:
    """What a command may take at most."""

    seconds: float
    peak_mib: float
    written_mb: float = float("inf")


@dataclass(frozen=True)
class Measured:
    """What a command took."""

    name: str
    seconds: float
    processor_s: float
    peak_mib: float
    written_mb: float
    limit: Limit

    @property
    def kept(self) -> bool:
        """Whether the limit was kept."""
        limit = self.limit
        return (
            self.processor_s <= limit.seconds
            and self.peak_mib <= limit.peak_mib
            and self.written_mb <= limit.written_mb
        )

    def __str__(self) -> str:
        written = f", {self.written_mb:.2f} of {self.limit.written_mb:g} MB" if self.written_mb else ""
        return (
            f"{'ok  ' if self.kept else 'OVER'} {self.name}: {self.processor_s:.1f} processor s of "
            f"{self.limit.seconds:g} ({self.seconds:.1f} s on the clock), {self.peak_mib:,.0f} of "
            f"{self.limit.peak_mib:,.0f} MiB{written}"
        )


def measure(name: str, words: Sequence[str], limit: Limit, written: Path | None = None) -> Measured:
    """Run `nas` with `words`; raises where it fails."""
    command = [sys.executable, "-m", "nas", *words]
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{name} failed: {output.read()[-500:].decode()}")
    places = () if written is None else (written, *written.rglob("*"))
    size = sum(place.stat().st_size for place in places if place.suffix in LOOKED_AT) / 1e6
    return Measured(name, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, size, limit)


def long_run(folder: Path, lines: int) -> Path:
    """Write a finished run whose journal has so many lines of a controller with a policy of 20 decisions."""
    from tests.support.run_folder import make_run

    run = make_run(folder / "long", count=40)
    records = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    kept = [one for one in records if one["stage"] == "coarse"]
    start = next(one for one in records if one["stage"] == "fine" and "decisions" in one)
    step = next(one for one in records if one["stage"] == "fine" and "step" in one)
    with (run / "journal.jsonl").open("w") as file:
        for one in (*kept, start):
            file.write(json.dumps(one) + "\n")
        for number in range(1, lines + 1):
            file.write(json.dumps({**step, "step": number, "steps": lines, "loss": 2.3 / (1 + number / 5000)}) + "\n")
    return run


def journals(folder: Path, lines: int) -> Iterator[Measured]:
    """Yield what reads a run with a long journal takes."""
    run = long_run(folder, lines)
    many = folder / "runs"
    for number in range(20):
        shutil.copytree(run, many / f"run-{number}")
    yield measure(f"nas runs, 20 runs of {lines:,} lines", ["runs", str(many), "--json"], Limit(5, 300))
    yield measure(f"nas watch --once, {lines:,} lines", ["watch", str(run), "--once"], Limit(5, 300))
    (run / "report.html").unlink(missing_ok=True)
    yield measure(f"report of {lines:,} lines", ["resume", str(run)], Limit(60, 1500, 2), run / "report.html")


def comparisons(folder: Path, count: int) -> Iterator[Measured]:
    """Yield what comparing many specs on 20 targets takes."""
    from latency_models.target import target_names
    from nas.arch import save_arch
    from nas.registry import SPACES, load

    space, specs = load("space", SPACES, "uib"), folder / "specs"
    specs.mkdir()
    for number, genotype in enumerate(space.sample(np.random.default_rng(0), count).tolist()):
        save_arch(space.decode(genotype), specs / f"{number:04}.json")
    names, targets = sorted(map(str, specs.iterdir())), ",".join(sorted(target_names())[:20])
    words = ["compare", *names, "--targets", targets]
    yield measure(f"nas compare --json, {count:,} specs, 20 targets", [*words, "--json"], Limit(10, 1500))
    out = folder / "compared"
    yield measure(
        f"nas compare --out, {count:,} specs, 20 targets", [*words, "--out", str(out)], Limit(60, 2048, 5), out
    )


def many_images(folder: Path, count: int) -> Iterator[Measured]:
    """Yield what planning a training on a folder of many images of many classes takes."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        place = folder / "images" / f"class-{number % CLASSES:05}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(place / f"{number}.png")
    words = ["train", "mobilenetv1", "--data", str(folder / "images"), "--proxy", "--plan"]
    yield measure(f"nas train --plan, {count:,} images, {CLASSES:,} classes", words, Limit(60, 1000))


STUDIES = {"journal": journals, "compare": comparisons, "images": many_images}


def main() -> int:
    """Measure what the flags ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--specs", type=int, default=1000)
    parser.add_argument("--images", type=int, default=50_000)
    args = parser.parse_args()
    sizes, kept = {"journal": args.lines, "compare": args.specs, "images": args.images}, True
    for name in args.only:
        with tempfile.TemporaryDirectory(prefix="nas-growth-") as folder:
            for row in STUDIES[name](Path(folder), sizes[name]):
                print(row, flush=True)
                kept &= row.kept
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
