"""Study: a search on a Ray cluster of two nodes gives the same files as one process, also when a node is killed.

Question: with `--ray-address` of a running cluster, are best.json and front.csv the same bytes as without workers? Also
where one of the two nodes is killed (all its processes, SIGKILL) after a few rounds of the first stage?

Set-up: two nodes of one processor each on this machine, started by `ray start` (`--head` and `--address`), with the
cluster's token. `nas search --preset smoke --space uib --algorithm nsga2 --trials 500`, long enough to kill a
node during it.

Command: python -m experiments.two_nodes --out DIR

Result, 3 minutes on 2 cores:

    two nodes: the same bytes; 2 workers to the end
    a node killed: the same bytes; 1 worker at the end

Once it was run with the nodes in two linked network namespaces, with the same result.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PORT = 6399
ROUNDS = 4  # of the first stage, before the node is killed
RESULTS = ("best.json", "front.csv")
SEARCH = ("search", "--preset", "smoke", "--space", "uib", "--algorithm", "nsga2", "--trials", "500")
ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.urandom(16).hex()}


@contextmanager
def node(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a Ray node of one processor, and kill it with all its processes at the end."""
    ray = Path(sys.executable).with_name("ray")
    process = subprocess.Popen(
        [ray, "start", "--block", "--num-cpus=1", "--num-gpus=0", "--disable-usage-stats", *arguments],
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        kill(process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a node, unless it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def search(out: Path, *more: str) -> "subprocess.Popen[str]":
    """Start the search into `out`."""
    command = [sys.executable, "-m", "nas", *SEARCH, "--out", str(out), *more]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def rounds(out: Path) -> int:
    """Return how many rounds of the first stage the journal holds."""
    journal = out / "journal.jsonl"
    return journal.read_text().count("/coarse") if journal.exists() else 0


def output_of(process: "subprocess.Popen[str]") -> str:
    """Return what a search printed; `SystemExit` where it failed."""
    printed = process.communicate()[0]
    if process.returncode:
        raise SystemExit(printed)
    return printed


def report(name: str, out: Path, alone: Path, printed: str) -> None:
    """Print whether the results are those of one process, and how many workers there were at the end."""
    same = all((out / file).read_bytes() == (alone / file).read_bytes() for file in RESULTS)
    last = [line for line in printed.splitlines() if "worker" in line][-1]
    print(f"{name}: {'the same' if same else 'OTHER'} bytes; the search's last line: {last}", flush=True)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    out = parser.parse_args().out
    out.mkdir(parents=True)
    output_of(search(out / "alone"))
    address = f"127.0.0.1:{PORT}"
    on_cluster = ("--workers", "2", "--ray-address", address)
    with node("--head", f"--port={PORT}", "--include-dashboard=false"):
        time.sleep(15)
        with node(f"--address={address}") as second:
            time.sleep(15)
            report("two nodes", out / "two", out / "alone", output_of(search(out / "two", *on_cluster)))
            process = search(out / "killed", *on_cluster)
            while rounds(out / "killed") < ROUNDS and process.poll() is None:
                time.sleep(0.05)
            kill(second)
            report("a node killed", out / "killed", out / "alone", output_of(process))


if __name__ == "__main__":
    main()
