"""Study: a run that was killed, or ran out of disk space, ends with the same files as an uninterrupted one.

Question: kill -9 at random points of every phase, then `nas resume` to the end: are best.json and front.csv the same
bytes as those of an uninterrupted run? The same after a full disk, under a checkpoint and under an append to the
journal; and is a second process on a folder at work refused?

Set-up: `--preset smoke`, with a checkpoint after every dispatch of steps, where a search takes one every 20 s. A point
is a random record of the phase in the journal, and a random part of the time until the next one: so it falls into
compiled steps, evaluations, appends and checkpoints that are being written. The full disk is a tmpfs of a few megabytes
that is filled from outside, or RLIMIT_FSIZE where mounting is not permitted. Compilations come from a cache.

Command: python -m experiments.fault_study [--kills 20] --out DIR
         [--phases coarse,fine,front,supernet,nsga2,evolution,tune]

Results, on 2 cores with other work beside it:

coarse       20 of 20 runs with the same bytes
fine         20 of 20
supernet     20 of 20
nsga2        20 of 20
tune         20 of 20
front        3 of 3, evolution 2 of 2, with fewer kills

These were with stages of 24 steps and a larger space; with the present ones 4 of 4 in each of the seven phases.

disk full (tmpfs, in the fine stage, checkpoints on and off): status 2, "nas: cannot write .../run/checkpoints/fine: no
    space left on the device; make space there, nothing is lost; then go on with: nas resume .../run"; in both cases
    resumed to the same bytes. On a smaller disk the append met it: "nas: cannot write .../run/journal.jsonl: ..."
two processes on one folder: status 2, "nas: process 4100 on HOST is working on .../twice; wait for it (nas watch
    .../twice), or stop it"; the first ended well

The study also showed that a resumed run compiled other programs than an uninterrupted one, as restored arrays were
bound to a device; they no longer are.
"""

import argparse
import filecmp
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.errors import InvalidInput
from nas.records.journal import read_journal

SAME = ("best.json", "front.csv")
LAUNCH = """
import sys
import nas.runs.joint_search, nas.runs.shared_supernet, nas.training.loop
from nas.cli import main
seconds = float(sys.argv[1])
nas.runs.joint_search.CHECKPOINT_SECONDS = nas.runs.shared_supernet.CHECKPOINT_SECONDS = seconds
nas.training.loop.CHECKPOINT_S = seconds
sys.exit(main(sys.argv[2:]))
"""
JOINT = ("search", "--preset", "smoke")
SEARCHED = "SEARCHED"  # in a command: the folder of a finished search
TUNE = ("finalists", SEARCHED, "--top", "3", "--epochs", "6", "--workers", "2")
NSGA2, EVOLUTION = ((*JOINT, "--algorithm", name, "--trials", "48") for name in ("nsga2", "regularized-evolution"))
TIMEOUT_S = 1200.0  # of a command
POLL_S = 0.005  # between two looks at a journal
DISK_BYTES = 48 << 20  # of the small disk


@dataclass(frozen=True)
class Phase:
    """A phase of a run: the command that starts the run, and the journal records that show how far the phase is."""

    command: tuple[str, ...]  # SEARCHED stands for the folder of a finished search
    stages: tuple[str, ...]
    results: tuple[str, ...] = SAME  # files below the run folder that must have equal bytes
    journals: str = "journal.jsonl"  # below the run folder, as a pattern
    resumed_by: tuple[str, ...] = ("resume",)  # and the run folder; () for the command that started it

    def with_searched(self, searched: Path) -> "Phase":
        """Return the phase with the folder of a finished search in place of `SEARCHED`."""
        return replace(self, command=tuple(str(searched) if word == SEARCHED else word for word in self.command))


PHASES = {  # another algorithm's phase is one line here
    "coarse": Phase(JOINT, ("coarse",)),
    "fine": Phase(JOINT, ("fine",)),
    "front": Phase(JOINT, ("front",)),
    "supernet": Phase(NSGA2, ("supernet",)),
    "nsga2": Phase(NSGA2, ("edgetpu/coarse", "edgetpu/fine")),
    "evolution": Phase(EVOLUTION, ("edgetpu/coarse", "edgetpu/fine")),
    "tune": Phase(TUNE, (), ("finalists.csv",), "trials/*/curve.jsonl", ()),
}


def start(arguments: tuple[str, ...], *, checkpoint_s: float = 0.0, most: int | None = None) -> "subprocess.Popen[str]":
    """Start `nas` in a process group of its own; `most` limits the bytes of every file it writes."""

    def limited() -> None:
        if most is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(checkpoint_s), *arguments], text=True, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=limited,
    )  # fmt: skip


def finished(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for the end of `nas` and return its exit status and the lines that it wrote to standard error."""
    _, errors = process.communicate(timeout=TIMEOUT_S)
    lines = [line for line in errors.splitlines() if line.startswith("nas: ")]
    return process.returncode, "\n".join(lines) if lines else errors[-500:]


def records_of(run: Path, phase: Phase) -> int:
    """Return how many records of `phase` the journals of a run at work hold."""
    try:
        records = [record for path in run.glob(phase.journals) for record in read_journal(path, ())[0]]
    except InvalidInput:  # one is being written anew
        return 0
    return sum(not phase.stages or record.get("stage") in phase.stages for record in records)


def reached(run: Path, phase: Phase, count: int, process: "subprocess.Popen[str]") -> bool:
    """Wait until the journals hold `count` records of `phase`; False where the process ends before."""
    until = time.monotonic() + TIMEOUT_S
    while records_of(run, phase) < count:
        if process.poll() is not None or time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True


@dataclass(frozen=True)
class Reference:
    """An uninterrupted run: where it is, and when the records of each phase came, in seconds."""

    run: Path
    times: dict[str, list[float]]

    @classmethod
    def of(cls, command: tuple[str, ...], run: Path, phases: dict[str, Phase]) -> "Reference":
        """Run `command` to its end, watching the journals of its phases."""
        process = start((*command, "--out", str(run)))
        times: dict[str, list[float]] = {name: [] for name in phases}
        while process.poll() is None:
            for name, seen in times.items():
                seen += [time.monotonic()] * (records_of(run, phases[name]) - len(seen))
            time.sleep(POLL_S)
        status, message = finished(process)
        if status:
            raise SystemExit(f"the uninterrupted run failed: {message}")
        return cls(run, times)

    def point(self, name: str, rng: np.random.Generator) -> tuple[int, float]:
        """Return a random point of a phase: after so many of its records, and so many seconds."""
        times = self.times[name]
        record = int(rng.integers(1, len(times)))
        return record, float(rng.uniform(0, max(times[record] - times[record - 1], 0.01)))


def killed_and_resumed(phase: Phase, reference: Reference, run: Path, record: int, seconds: float) -> str:
    """Kill a run `seconds` after its record number `record` of a phase, resume it, and return the result as text."""
    process = start((*phase.command, "--out", str(run)))
    if not reached(run, phase, record, process):
        return f"the run ended before its record {record}: {finished(process)[1]}"
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    finished(process)
    command = (*phase.resumed_by, str(run)) if phase.resumed_by else (*phase.command, "--out", str(run))
    wrong = resumed(run, reference, phase.results, command)
    return wrong or f"same bytes; killed {seconds:.3f} s after record {record}"


def resumed(run: Path, reference: Reference, results: tuple[str, ...], command: tuple[str, ...]) -> str:
    """Resume a run with `command` and return what differs from the uninterrupted one, "" for nothing."""
    status, message = finished(start(command))
    if status:
        return f"FAILED: resume ended with status {status}: {message}"
    wrong = [file for file in results if not filecmp.cmp(run / file, reference.run / file, shallow=False)]
    return f"FAILED: {', '.join(wrong)} differ" if wrong else ""


# -------------------------------------------------------------------------------------------------------- full disks


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small file system on `folder`; False where that is not permitted."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path, left: int) -> None:
    """Write a file that leaves `left` bytes of its file system."""
    free = os.statvfs(path.parent).f_bavail * os.statvfs(path.parent).f_frsize
    with open(path, "wb", buffering=0) as file, suppress(OSError):  # a checkpoint took the rest
        for _ in range((free - left) // 4096):
            file.write(bytes(4096))


def full_disk(reference: Reference, folder: Path, *, under_checkpoint: bool) -> str:
    """Let the disk run full in the fine stage, resume, and return the result as text."""
    checkpoint_s = 0.0 if under_checkpoint else 1e9
    with small_disk(folder) as mounted:
        run, ballast = folder / "run", folder / "ballast"
        command = (*JOINT, "--out", str(run))
        if mounted:
            process = start(command, checkpoint_s=checkpoint_s)
            if reached(run, PHASES["fine"], 3, process):
                fill(ballast, 40 << 10 if under_checkpoint else 0)
        else:
            journal = (reference.run / "journal.jsonl").stat().st_size
            process = start(command, checkpoint_s=checkpoint_s, most=2 * journal if under_checkpoint else journal // 2)
        status, message = finished(process)
        ballast.unlink(missing_ok=True)
        differs = resumed(run, reference, SAME, ("resume", str(run)))
    how = "tmpfs" if mounted else "RLIMIT_FSIZE"
    return f"{how}: status {status}, '{message.replace(str(folder), '...')}'; {differs or 'resumed to the same bytes'}"


def two_processes(reference: Reference, run: Path) -> str:
    """Resume a run that another process works on, let the first end, and return the result as text."""
    process = start((*JOINT, "--out", str(run)))
    reached(run, PHASES["coarse"], 2, process)
    status, message = finished(start(("resume", str(run))))
    finished(process)
    same = all(filecmp.cmp(run / file, reference.run / file, shallow=False) for file in SAME)
    first = "well" if same else "WITH OTHER BYTES"
    return f"status {status}, '{message.replace(str(run.parent), '...')}'; the first ended {first}"


# ------------------------------------------------------------------------------------------------------------- study


def study(out: Path, names: list[str], kills: int, seed: int) -> None:
    """Run all phases and print a line for each."""
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": str(out.absolute() / "xla"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    if any(SEARCHED in PHASES[name].command for name in names):
        finished(start((*JOINT, "--out", str(out / "searched"))))
    phases = {name: PHASES[name].with_searched(out / "searched") for name in names}
    references: dict[tuple[str, ...], Reference] = {}
    for number, command in enumerate(dict.fromkeys(phase.command for phase in phases.values())):
        mine = {name: phase for name, phase in phases.items() if phase.command == command}
        references[command] = Reference.of(command, out / f"whole-{number}", mine)
    for name, phase in phases.items():
        failed, reference = 0, references[phase.command]
        for kill in range(kills):
            run, rng = out / f"{name}-{kill}", np.random.default_rng([seed, kill, *name.encode()])
            reported = killed_and_resumed(phase, reference, run, *reference.point(name, rng))
            failed += not reported.startswith("same bytes")
            print(f"  {name} {kill}: {reported}", flush=True)
            shutil.rmtree(run, ignore_errors=True)
        print(f"{name}: {kills - failed} of {kills} runs with the same bytes", flush=True)
    if JOINT in references:
        other_faults(references[JOINT], out)


def other_faults(reference: Reference, out: Path) -> None:
    """Print what happens with full disks and with a second process."""
    checks: dict[str, Callable[[], str]] = {
        "disk full under a checkpoint": lambda: full_disk(reference, out / "full-checkpoint", under_checkpoint=True),
        "disk full under the journal": lambda: full_disk(reference, out / "full-journal", under_checkpoint=False),
        "two processes on one folder": lambda: two_processes(reference, out / "twice"),
    }
    for name, check in checks.items():
        print(f"{name}: {check()}", flush=True)


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/fault-study"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    study(args.out, args.phases.split(","), args.kills, args.seed)


if __name__ == "__main__":
    main()
