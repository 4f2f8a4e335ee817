"""Benchmark: time to a first candidate where few satisfy the bounds, and to the proof that none does.

    nice -n 5 python -m experiments.benchmarks.bounds [--rounds 5]

The space is uib with all decisions, 1.5e25 architectures. One bound: a latency that only a small share of 3 million
random architectures satisfies, on two targets. Several: pixel6-cpu and edgetpu latency, parameters, and at least so
many MACs (an upper bound on their negative), which conflict. Milliseconds of processor time, medians over rounds, each
with a new `Bounded`, cost tables compiled before: the first candidate or the refusal; 100 more; 100 random
architectures moved inside.

Results on one core; in wall-clock time, with a load of four per core, the first candidates took 77 to 109 ms
under one bound, and candidates and proofs 0.5 to 0.8 s under several:

bounds                                         answer  first ms  100 more ms  100 moved ms
edgetpu <= 0.6837 ms, a share of 0.005          found        13            2             9
edgetpu <= 0.6577 ms, a share of 1e-06          found        18            2             9
pixel6-cpu <= 2.099 ms, a share of 0.005        found        12            2             9
pixel6-cpu <= 1.317 ms, a share of 1e-06        found        17            2             9
2 ms, 0.7 ms, 4 M, from 6e+07 MACs              found        69            3            25
2 ms, 0.7 ms, 4 M, from 1.2e+08 MACs            found       109           33            54
2 ms, 0.7 ms, 4 M, from 1.6e+08 MACs      proved none       126
2 ms, 0.7 ms, 4 M, from 2e+08 MACs        proved none       125
"""

import argparse
import statistics
import time

from experiments.benchmarks.timing import print_table, use_threads

use_threads(1)  # before numpy starts threads

import numpy as np  # noqa: E402

from latency_models.target import load_target  # noqa: E402
from nas.errors import InvalidInput  # noqa: E402
from nas.search.constraints.bounds import Bounded, Limit  # noqa: E402
from nas.space.cost_table import MACS, PARAMS, compile_table  # noqa: E402
from search_spaces.uib import SPACE  # noqa: E402

DRAWS = 3_000_000
SHARES = (0.005, 1e-6)
LEAST_MACS = (6e7, 1.2e8, 1.6e8, 2e8)


def seconds(limits: tuple[Limit, ...], seed: int) -> tuple[str, list[float]]:
    """Return the answer and the seconds of each step."""
    rng = np.random.default_rng(seed)
    outside = SPACE.sample(rng, 100)
    marks = [time.process_time()]
    try:
        bounded = Bounded(SPACE, limits)
        for count in (1, 100):
            assert bounded.feasible(bounded.draw(rng, count)).all()
            marks.append(time.process_time())
        assert bounded.feasible(bounded.repaired(outside, rng)).all()
        answer = "found"
    except InvalidInput as error:
        answer = "proved none" if "proved" in str(error) else "none found"
    return answer, np.diff([*marks, time.process_time()]).tolist()


def row(name: str, limits: tuple[Limit, ...], rounds: int) -> list[str]:
    """Return the line of the table for these bounds."""
    runs = [seconds(limits, seed) for seed in range(rounds)]
    medians = [f"{1e3 * statistics.median(column):.0f}" for column in zip(*(times for _, times in runs), strict=True)]
    return [name, " or ".join(sorted({answer for answer, _ in runs})), *medians, *[""] * (3 - len(medians))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    genotypes = SPACE.sample(np.random.default_rng(0), DRAWS)
    tables = {name: compile_table(SPACE, load_target(name).model()) for name in ("edgetpu", "pixel6-cpu")}
    params, macs = compile_table(SPACE, PARAMS), compile_table(SPACE, MACS)
    rows = []
    for name, table in tables.items():
        scores = table.score(genotypes)
        for share in SHARES:
            bound = float(np.quantile(scores, share))
            rows.append(row(f"{name} <= {bound:.4g} ms, a share of {share:g}", ((table, bound),), rounds))
    others: tuple[Limit, ...] = ((tables["pixel6-cpu"], 2.0), (tables["edgetpu"], 0.7), (params, 4e6))
    for least in LEAST_MACS:
        rows.append(row(f"2 ms, 0.7 ms, 4 M, from {least:.3g} MACs", (*others, (macs.negative(), -least)), rounds))
    print_table(["bounds", "answer", "first ms", "100 more ms", "100 moved ms"], rows)


if __name__ == "__main__":
    main()
