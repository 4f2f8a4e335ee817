"""Study: does the search beat random search at equal processor seconds? (CIFAR-10, edgetpu, space uib)

Arms, each given `--core-hours` of one core for a whole search, compilation, supernet and verdict included:

    A         the search as shipped: `nas search --preset standard`
    B         random search with the same halving: `--accuracy-model random --supernet-share 0`
    D         A without the supernet: `--accuracy-model ridge --supernet-share 0`
    two-stage MobileNetV4's search over supernets in two stages (filters and depths, then blocks), without finalists:
              `--preset quick --accuracy-model none --baseline none`
    one-stage the same with all decisions in one stage, `--one-stage`, for steps that take as long. These two take no
              `--core-hours` and are compared with each other; the paper has +.22 points, -4.7 % latency for two stages
    C-params  the network of most parameters of as many random networks as B trained, C-macs that of most MACs

    python -m experiments.arms --data-dir DIR --out runs/arms [--arms A B] [--searches 4] [--workers 2]
    python -m experiments.arms --verdict
    python -m experiments.arms --simulate
    python -m experiments.arms --baseline --targets edgetpu pixel6-cpu --data-dir DIR --out runs/arms

The first command makes the searches that are missing, each a process of its own whose processor seconds are those of
all its processes (wait4), and trains every answer again: from scratch, twice as long as the searches' full length,
with 3 seeds that no search uses, on all training images; then the test set is opened once. A row per training is
appended to experiments/data/arms/arms.csv. Stopped and started again it goes on; on a later machine the same command
with more `--searches` adds to what is there, and the verdict (experiments/arm_verdict.py) is recomputed from all rows:
it is resolved where a permutation test on the arms' means gives p < .05 and the 95 % bootstrap interval lies on one
side of 0. Arms are compared at equal time: where an arm's mean is not within 3 % of A's, the verdict says so.

`--simulate` replays A without its supernet (D), B and C on the truth table (experiments/data/truth_table), hundreds of
times, without training anything. `--baseline` trains what A found for each target, and MobileNetV4-Conv-S at equal
predicted latency by a width multiplier, with one recipe.

What came out so far. Live, beside other work: 4 searches each of A and B, 862 and 851 processor seconds, 52.47 and
52.75 %: A - B -0.28 points [-1.32, +0.71], p = .71, not resolved. Each trains 11 networks, the first of them the same
ones in both arms; for two of the four seeds both found the same network. Four searches each of two-stage and one-stage,
timed in turns: 51.06 and 52.31 %, 212 and 210 processor seconds, mean latencies 0.6851 and 0.6791 ms: two-stage -
one-stage -1.25 points [-2.77, +0.35], p = .26, not resolved (the paper: +.22 points, -4.7 % latency for two stages). A
search's processor seconds differ by a tenth from one time to another. Before compilation counted, one stage had 220
steps in place of 150 and took 229 seconds where two took 199: 51.32 %, -0.25 points [-1.73, +1.32], p = .83. (The
searches of two stages found the same networks again when they were timed anew, so these were not trained anew.)
What one search of A found for each of two targets against MobileNetV4-Conv-S within the same latency, 3 seeds each: on
edgetpu 51.71 and 51.01 %, +0.69 points [-2.18, +3.57] (0.6869 and 0.6880 ms), on pixel6-cpu 51.51 and 51.01 %, +0.50
[-2.19, +3.19] (2.234 and 2.268 ms), paired by seed: not resolved.

Simulated, 39 networks of the truth table, 400 searches per arm of 11 networks each, as many as 16 core-minutes train: D
loses 1.16 points on the best network of the table, B 1.11, C-params 2.04, C-macs 1.86. D - B is -.05 points
[-.12, +.02], over replays of this one table: not resolved. The networks' mean accuracies differ by .87 points, and
training noise is more than half of that variance. At --core-hours 0.27 no supernet is trained (its share is too
little), so A is D.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.arm_verdict import mean_text, search_values, seeds_interval, verdict
from nas.arch import ArchSpec, save_arch
from nas.cli.compilation_cache import FOLDER_VARIABLE
from nas.files import dump_json, read_json, write_whole
from nas.records.results import result_of_run

TABLE = Path(__file__).parent / "data/arms/arms.csv"
COLUMNS = (
    "study", "target", "arm", "search_seed", "digest", "latency", "macs", "params", "search_processor_s", "of_budget",
    "equal_time", "train_seed", "epochs", "images", "test_top1", "train_processor_s", "commit",
)  # fmt: skip
ARMS: dict[str, tuple[str, ...]] = {  # flags of `nas search` beside those that all arms share
    "A": (),
    "B": ("--accuracy-model", "random", "--supernet-share", "0"),
    "D": ("--accuracy-model", "ridge", "--supernet-share", "0"),
    "two-stage": ("--preset", "quick", "--accuracy-model", "none", "--baseline", "none"),  # the last --preset counts
    "one-stage": ("--preset", "quick", "--accuracy-model", "none", "--baseline", "none", "--one-stage"),
}
STAGES = ("two-stage", "one-stage", "one-stage-220")  # arms that are compared with the first of them; the last has
# the 220 steps that `--one-stage` had before its compilation counted, and is not made any more
LARGEST: dict[str, Callable[[ArchSpec], int]] = {"C-params": lambda arch: arch.params, "C-macs": lambda arch: arch.macs}
BASELINE = "mobilenetv4-conv-s"
FULL_LENGTH = 3  # epochs of a search's longest training
EPOCHS = 2 * FULL_LENGTH
TRAIN_SEEDS = (1001, 1002, 1003)  # of no search
EQUAL = 0.03  # relative difference up to which processor seconds are equal
STUDY, AGAINST_BASELINE = "arms", "baseline"
PROXY = ("--proxy", "--proxy-resolution", "16", "--proxy-width", "0.25")


@dataclass(frozen=True)
class Study:
    """What all searches and trainings share."""

    out: Path
    data: str = "cifar10"
    data_dir: str | None = None
    target: str = "edgetpu"
    core_hours: float = 0.27
    preset: str = "standard"
    space: str = "uib"
    epochs: int = EPOCHS
    train_seeds: tuple[int, ...] = TRAIN_SEEDS
    table: Path = TABLE
    proxy: tuple[str, ...] = PROXY  # flags of `nas train`
    budget_flags: tuple[str, ...] = ()  # in place of --core-hours, for tests

    @property
    def images(self) -> list[str]:
        """The flags that name the images."""
        return ["--data", self.data, *(["--data-dir", self.data_dir] if self.data_dir else [])]


@dataclass(frozen=True)
class Found:
    """The answer of a search: the network, and the processor seconds of the search (0: nothing was trained)."""

    study: str
    arm: str
    seed: int
    arch: ArchSpec
    latency: float
    processor_s: float


# ------------------------------------------------------------------------------------------------------------ searches


def processor_seconds(command: Sequence[str], log: Path) -> float:
    """Run a command with one thread of XLA; return the processor seconds of it and the processes it waited for.

    It compiles all that it needs: what other runs have compiled before would make one arm cheaper than another. Raises
    `CalledProcessError` where it fails; its output goes to the file `log`.
    """
    environment = os.environ | {"NPROC": "1", FOLDER_VARIABLE: ""}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command), log.read_bytes()[-500:])
    return usage.ru_utime + usage.ru_stime


def nas(*words: str) -> list[str]:
    """Return the command `nas` with these words, run by this Python."""
    return [sys.executable, "-m", "nas", *words]


def search(study: Study, arm: str, seed: int) -> Found:
    """Return what a search finds, read where it was made before. One that was interrupted is made anew.

    Its processor seconds would not be known otherwise.
    """
    run = study.out / f"{study.target}-{arm}-s{seed}"
    spent = run.with_name(f"{run.name}.json")
    if not spent.exists():
        shutil.rmtree(run, ignore_errors=True)
        run.parent.mkdir(parents=True, exist_ok=True)
        hours = () if arm in STAGES else ("--core-hours", f"{study.core_hours:g}")
        budget = study.budget_flags or hours
        words = ["search", "--space", study.space, "--target", study.target, "--preset", study.preset, *study.images]
        command = nas(*words, "--seed", str(seed), *budget, *ARMS[arm], "--out", str(run))
        seconds = processor_seconds(command, run.with_name(f"{run.name}.log"))
        write_whole(spent, dump_json({"processor_s": seconds}))
    result = result_of_run(run)
    return Found(STUDY, arm, seed, result.arch, result.latency, read_json(spent)["processor_s"])


def largest_of_random(study: Study, seed: int, count: int) -> Iterator[Found]:
    """Yield the largest of `count` random networks, by parameters and by MACs."""
    from nas.runs.plan import make_plan
    from nas.runs.settings import SearchConfig
    from nas.search.constraints.sampling import random_satisfying

    plan = make_plan(SearchConfig(space=study.space, target=study.target, preset=study.preset))  # of any 10 classes
    rng = np.random.default_rng([seed, 98])
    archs = [plan.space.decode(g) for g in random_satisfying(plan.space, plan.constraints(plan.space), count, rng)]
    for arm, size in LARGEST.items():
        arch = max(archs, key=size)
        yield Found(STUDY, arm, seed, arch, plan.model.predict_ms(arch), 0.0)


def networks_trained(study: Study, seed: int) -> int:
    """Return how many networks search B with this seed trained; 16 where it has not been made."""
    path = study.out / f"{study.target}-B-s{seed}" / "accuracy_model.json"
    return len(read_json(path)["networks"]) if path.exists() else 16


# ------------------------------------------------------------------------------------------------------ final training


def train_again(study: Study, found: Found, seed: int) -> dict[str, Any]:
    """Train a network from scratch, open the test set, and return the row of it."""
    folder = study.out / "trained"
    name = f"{found.arch.digest[:12]}-s{seed}-e{study.epochs}"
    spent = folder / f"{name}.json"
    if not spent.exists():
        folder.mkdir(parents=True, exist_ok=True)
        spec = folder / f"{name}.spec.json"  # of this training alone: others write theirs at the same time
        save_arch(found.arch, spec)
        words = ["train", str(spec), *study.proxy, *study.images, "--epochs", str(study.epochs), "--seed", str(seed)]
        seconds = processor_seconds(nas(*words, "--out", str(folder / name)), folder / f"{name}.log")
        write_whole(spent, dump_json({"processor_s": seconds}))
    accuracy = read_json(folder / name / "train.json")["accuracy"]
    budget_s = 3600 * study.core_hours
    return {
        "study": found.study, "target": study.target, "arm": found.arm, "search_seed": found.seed,
        "digest": found.arch.digest, "latency": f"{found.latency:.6g}", "macs": found.arch.macs,
        "params": found.arch.params, "search_processor_s": f"{found.processor_s:.1f}",
        "of_budget": f"{found.processor_s / budget_s:.3f}",
        "equal_time": "yes" if abs(found.processor_s / budget_s - 1) <= EQUAL else "no",
        "train_seed": seed, "epochs": study.epochs, "images": accuracy["pictures"], "test_top1": accuracy["top1"],
        "train_processor_s": f"{read_json(spent)['processor_s']:.1f}", "commit": commit(),
    }  # fmt: skip


def commit() -> str:
    """Return the commit of the code, "" outside of a repository."""
    shown = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()


def read_rows(table: Path) -> list[dict[str, str]]:
    """Return the rows of arms.csv, none where it is missing."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def add_row(table: Path, row: Mapping[str, Any]) -> None:
    """Append a row, with the header before the first."""
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def missing(study: Study, found: Sequence[Found]) -> list[tuple[Found, int]]:
    """Return the final trainings that have no row yet."""
    names = ("study", "target", "arm", "search_seed", "train_seed")
    done = {tuple(row[name] for name in names) for row in read_rows(study.table)}
    wanted = ((one, seed) for one in found for seed in study.train_seeds)
    return [
        (one, seed) for one, seed in wanted
        if (one.study, study.target, one.arm, str(one.seed), str(seed)) not in done
    ]  # fmt: skip


def train_missing(study: Study, found: Sequence[Found], workers: int) -> None:
    """Make the final trainings that are missing, `workers` at a time, and add a row for each.

    Two arms that found one network share its trainings.
    """
    by_training: dict[tuple[str, int], list[Found]] = {}
    for one, seed in missing(study, found):
        by_training.setdefault((one.arch.digest, seed), []).append(one)

    def rows(alike: Sequence[Found], seed: int) -> list[dict[str, Any]]:
        return [train_again(study, one, seed) for one in alike]

    with ThreadPoolExecutor(workers) as pool:
        for done in as_completed([pool.submit(rows, alike, seed) for (_, seed), alike in by_training.items()]):
            for row in done.result():
                add_row(study.table, row)
                name = f"{row['arm']} s{row['search_seed']}, training {row['train_seed']}"
                print(f"{name}: {row['test_top1']:.4f}", flush=True)


def searched(study: Study, seed: int, arm: str) -> set[str]:
    """Return the names of the final trainings that the table has of a search."""
    key = (STUDY, study.target, arm, str(seed))
    rows = read_rows(study.table)
    return {row["train_seed"] for row in rows if (row["study"], row["target"], row["arm"], row["search_seed"]) == key}


def run_arms(study: Study, arms: Sequence[str], searches: int, workers: int) -> None:
    """Make the searches and final trainings that the table lacks, the arms of one seed beside each other."""
    for first in range(searches):
        lacking = [arm for arm in arms if len(searched(study, first, arm)) < len(study.train_seeds)]
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(lambda arm, seed=first: search(study, arm, seed), [a for a in lacking if a in ARMS]))
        if any(arm in LARGEST for arm in lacking):
            every = largest_of_random(study, first, networks_trained(study, first))
            found += [one for one in every if one.arm in lacking]
        for one in found:
            print(f"{one.arm} s{one.seed}: {one.latency:.4f}, {one.processor_s:.0f} processor seconds", flush=True)
        train_missing(study, found, workers)


def against_baseline(study: Study, seed: int, workers: int) -> None:
    """Train what A found for the study's target, and the baseline at its latency."""
    from nas.runs.plan import make_plan
    from nas.runs.settings import SearchConfig
    from nas.runs.verdict import baseline_at

    found = replace(search(study, "A", seed), study=AGAINST_BASELINE)
    plan = make_plan(SearchConfig(space=study.space, target=study.target, preset=study.preset, baseline=BASELINE))
    _, arch = baseline_at(plan, found.latency)
    other = Found(AGAINST_BASELINE, BASELINE, seed, arch, plan.model.predict_ms(arch), 0.0)
    train_missing(study, [found, other], workers)


# ------------------------------------------------------------------------------------------------------------- verdict


def verdict_lines(table: Path, trainings: int = len(TRAIN_SEEDS)) -> Iterator[str]:
    """Yield the verdict of every pair of arms, the arms' means, and what is not equal, recomputed from the rows."""
    rows = read_rows(table)
    values = search_values(rows, trainings)
    if not values:
        yield "no search has all its final trainings yet: python -m experiments.arms --data-dir DIR --out DIR"
    for (study, target, arm), found in values.items():
        if study == STUDY:
            latency = f"latency {_mean(rows, target, arm, 'latency'):.4f}"
            yield f"{target}, {arm}: {mean_text(found)}; {latency}{_time_text(rows, target, arm)}"
    for (study, target, arm), found in values.items():
        against = STAGES[0] if arm in STAGES else "A"
        first = values.get((study, target, against))
        if study == STUDY and arm != against and first is not None:
            yield f"{target}, {against} - {arm}: {verdict(first, found)}"
    for target in sorted({row["target"] for row in rows if row["study"] == AGAINST_BASELINE}):
        yield from _baseline_line(rows, target)


def _time_text(rows: Sequence[Mapping[str, str]], target: str, arm: str) -> str:
    """Return the processor seconds of an arm's searches against those of the arm that it is compared with, as text."""
    against = STAGES[0] if arm in STAGES else "A"
    means = [_mean(rows, target, name, "search_processor_s") for name in (arm, against)]
    if not means[0]:
        return "; no search trains anything"
    if arm == against or not means[1]:
        return f"; {means[0]:.0f} processor seconds a search"
    ratio = means[0] / means[1]
    note = "" if abs(ratio - 1) <= EQUAL else f": NOT equal, {100 * (ratio - 1):+.0f} %"
    return f"; {means[0]:.0f} processor seconds a search{note}"


def _mean(rows: Sequence[Mapping[str, str]], target: str, arm: str, column: str) -> float:
    """Return the mean of a column over an arm's searches, 0 without any."""
    by_seed = {
        row["search_seed"]: float(row[column]) for row in rows
        if (row["study"], row["target"], row["arm"]) == (STUDY, target, arm)
    }  # fmt: skip
    return float(np.mean(list(by_seed.values()))) if by_seed else 0.0


def _baseline_line(rows: Sequence[Mapping[str, str]], target: str) -> Iterator[str]:
    """Yield the difference of the network found and the baseline for a target, over training seeds."""
    ours, others = (
        [float(row["test_top1"]) for row in rows
         if (row["study"], row["target"], row["arm"]) == (AGAINST_BASELINE, target, arm)]
        for arm in ("A", BASELINE)
    )  # fmt: skip
    if min(len(ours), len(others)) > 1:
        difference, low, high = (100 * value for value in seeds_interval(ours, others))
        words = "resolved" if low > 0 or high < 0 else "not resolved"
        yield (
            f"{target}, found - {BASELINE} at equal predicted latency: {words}: {difference:+.2f} points "
            f"[{low:+.2f}, {high:+.2f}], {len(ours)} trainings each"
        )


# ---------------------------------------------------------------------------------------------------------- simulation


def simulated(table: Any, plan: Any, times: int, candidates: int) -> dict[str, NDArray[np.float64]]:
    """Return the mean test accuracy [times] of the answers of the arms, replayed on a `RankingTable`.

    A search sees the validation accuracies of trainings in the table, D and B by nas/search/accuracy/search.py with the
    schedule of so many networks and one repeat of the last; C takes the largest of `candidates` random networks.
    """
    from nas.runs.ranking import static_of
    from nas.search.accuracy.model import RANDOM, RIDGE
    from nas.search.accuracy.plan import schedule_of
    from nas.search.accuracy.search import ModelSearch

    truth, features = table.accuracy[:, :2].mean(1), static_of(plan)
    index = {genotype.tobytes(): row for row, genotype in enumerate(table.genotypes)}
    schedule = replace(schedule_of(candidates, FULL_LENGTH), repeats=1)  # the table has two seeds
    found: dict[str, list[float]] = {}
    for time in range(times):
        flip = time % 2  # which of the two seeds comes first

        class Networks:
            """The networks of the table, in random order."""

            def draw(self, rng: np.random.Generator, count: int, time: int = time) -> NDArray[np.int32]:
                order = np.random.default_rng([time, int(rng.integers(2**31))]).permutation(len(truth))
                return np.asarray(table.genotypes[order[:count]])

        for arm, model in (("D", RIDGE), ("B", RANDOM)):
            arms = ModelSearch(Networks(), features, schedule, model)
            state = arms.init(time)
            while asked := arms.ask(state):
                rows = [(index[np.array(one.genotype, np.int32).tobytes()], one) for one in asked]
                top1 = [table.curves[row, (one.seed - time + flip) % 2, one.epochs - 1] for row, one in rows]
                state = arms.tell(state, asked, top1)
            answer = index[np.array(arms.answer(state).genotype, np.int32).tobytes()]
            found.setdefault(arm, []).append(float(truth[answer]))
        random = np.random.default_rng([time, 3]).permutation(len(truth))[:candidates]
        for arm, name in (("C-params", "params"), ("C-macs", "macs")):
            found.setdefault(arm, []).append(float(truth[random[np.argmax(table.features[name][random])]]))
    return {arm: np.array(values) for arm, values in found.items()}


def simulate(times: int, candidates: int) -> Iterator[str]:
    """Yield what the arms reach on the truth table."""
    from experiments.arm_verdict import bootstrap_interval
    from experiments.truth_table import known_trainings, plan_without_images, table_of

    plan = plan_without_images()
    table = table_of(plan, known_trainings())
    found = simulated(table, plan, times, candidates)
    truth = table.accuracy[:, :2].mean(1)
    yield (
        f"{len(truth)} networks of the truth table, mean {100 * truth.mean():.2f} %, best {100 * truth.max():.2f} %; "
        f"{times} searches per arm, {candidates} networks each"
    )
    for arm, values in found.items():
        yield f"{arm}: {100 * values.mean():.3f} % (regret {100 * (truth.max() - values.mean()):.3f} points)"
    for arm in [name for name in found if name != "D"]:
        paired = found["D"] - found[arm]
        low, high = bootstrap_interval(paired, np.zeros(1))
        yield f"D - {arm}: {100 * paired.mean():+.3f} points [{100 * low:+.3f}, {100 * high:+.3f}], paired"


def main() -> None:
    """Run what the flags ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("runs/arms"))
    parser.add_argument("--arms", nargs="+", default=["A", "B"], choices=[*ARMS, *LARGEST])
    parser.add_argument("--searches", type=int, default=4, help="per arm, in all")
    parser.add_argument("--core-hours", type=float, default=0.27, help="of one core, for each search")
    parser.add_argument("--targets", nargs="+", default=["edgetpu"])
    parser.add_argument("--workers", type=int, default=2, help="searches or trainings at a time, one thread each")
    parser.add_argument("--baseline", action="store_true", help="what A found against MobileNetV4-Conv-S instead")
    parser.add_argument("--verdict", action="store_true", help="recompute the verdict from the table alone")
    parser.add_argument("--simulate", action="store_true", help="replay the arms on the truth table instead")
    parser.add_argument("--times", type=int, default=400, help="simulated searches per arm")
    parser.add_argument("--candidates", type=int, default=11, help="networks of a simulated search")
    args = parser.parse_args()
    if args.simulate:
        print("\n".join(simulate(args.times, args.candidates)))
        return
    if not args.verdict:
        for target in args.targets:
            study = Study(args.out, args.data, args.data_dir, target, args.core_hours)
            if args.baseline:
                against_baseline(study, 0, args.workers)
            else:
                run_arms(study, args.arms, args.searches, args.workers)
    print("\n".join(verdict_lines(TABLE)))


if __name__ == "__main__":
    main()
