"""The loop around any algorithm: resumed from a journal cut anywhere it ends the same, and evaluates nothing twice."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.files import dump_json
from nas.progress import Progress, SilentReporter
from nas.protocols import Genotypes
from nas.records.journal import Journal
from nas.registry import ALGORITHMS, load
from nas.runs.regret import EvaluatedNetworks, RegretRow, read_regret_table, regret_table
from nas.search.constraints.bounds import Bounded
from nas.search.loop import InProcessExecutor, Pool, SearchHistory, SearchTask, WarmStart, evaluate, run
from nas.search.strategy import strategy
from nas.space.genotypes import embedding
from tests.support.tabular import free
from tests.support.tiny import SPACE

TABULAR = free(4, 3, 5, 3, 4)
TRIALS, ASK, BATCH = 20, 6, 4
NAMES = sorted(name for name in ALGORITHMS if not strategy(name).projects)  # those that are built from a proposer
WORTH = np.random.default_rng(5).random((5, 5))


class Counting:
    """An evaluator with made-up accuracies that remembers what it was given; some architectures break it."""

    live_workers = 3

    def __init__(self, broken: int = -1) -> None:
        self.seen: list[tuple[int, ...]] = []
        self.broken = broken  # option of the first decision

    def accuracy(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return accuracies [N]."""
        self.seen += map(tuple, genotypes.tolist())
        return np.round(WORTH[np.arange(5), genotypes].mean(1), 3)

    def evaluate(self, batches: Sequence[Genotypes]) -> Iterator[NDArray[np.float64] | None]:
        """Be an executor too: give up on batches that hold a broken one."""
        assert all(len(batch) == BATCH for batch in batches[:-1]) and 1 <= len(batches[-1]) <= BATCH
        for batch in batches:
            yield None if (batch[:, 0] == self.broken).any() else self.accuracy(batch)

    def close(self) -> None:
        """Release nothing."""


class Shown(SilentReporter):
    """Keeps what was shown."""

    def __init__(self) -> None:
        self.events: list[Progress] = []
        self.lines: list[str] = []

    def progress(self, event: Progress) -> None:
        """Keep it."""
        self.events.append(event)

    def say(self, line: str) -> None:
        """Keep it."""
        self.lines.append(line)


def task_of(name: str, trials: int = TRIALS, start: WarmStart | None = None) -> SearchTask:
    """A job over the tabular space that minimises error and the first option."""

    def objectives(genotypes: Genotypes, accuracies: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([1 - accuracies, genotypes[:, 0].astype(float)], 1)

    algorithm = load("algorithm", ALGORITHMS, name)(Bounded(TABULAR))  # type: ignore[arg-type]
    return SearchTask(f"t/{name}", algorithm, lambda genotypes: genotypes, objectives, trials, ASK, 3, start)


def known_at_start(count: int) -> WarmStart:
    """Return random architectures with their accuracies, in no order of merit."""
    genotypes = Bounded(TABULAR).draw(np.random.default_rng(count), count)
    return WarmStart(genotypes, Counting().accuracy(genotypes))


def played(
    name: str,
    path: Path,
    executor: Counting,
    *,
    trials: int = TRIALS,
    reporter: Any = None,
    start: WarmStart | None = None,
) -> SearchHistory:
    """Run a job with a journal at `path`."""
    return run(task_of(name, trials, start), Pool(lambda: executor, BATCH), Journal(path), reporter or SilentReporter())


@settings(max_examples=20)
@given(
    name=st.sampled_from(NAMES),
    share=st.floats(0, 1),
    broken=st.sampled_from([-1, 2]),
    start=st.sampled_from([None, known_at_start(0), known_at_start(40)]),
)
def test_a_journal_cut_anywhere_leads_to_the_same_end(
    tmp_path_factory: pytest.TempPathFactory, name: str, share: float, broken: int, start: WarmStart | None
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    whole = played(name, folder / "whole", Counting(broken), start=start)
    raw = (folder / "whole").read_bytes()
    (folder / "cut").write_bytes(raw[: int(share * len(raw))])
    rest = Counting(broken)
    again = played(name, folder / "cut", rest, start=start)
    assert (folder / "cut").read_bytes() == raw
    for part in ("genotypes", "accuracies", "objectives"):
        assert np.array_equal(getattr(whole, part), getattr(again, part))
    assert len(rest.seen) <= TRIALS and len(set(rest.seen)) == len(rest.seen)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_known_at_the_start_is_used_and_not_evaluated_again(tmp_path: Path, name: str) -> None:
    start, executor = known_at_start(40), Counting()
    ran = played(name, tmp_path / "journal", executor, start=start)
    assert not set(executor.seen) & set(map(tuple, start.genotypes.tolist()))
    assert len(ran.genotypes) == TRIALS and len(ran.state) == 40 + TRIALS
    assert ran.state.errors[39] == 1 - start.accuracies.max()  # the best is the youngest


def test_nothing_is_evaluated_twice_and_nothing_is_opened_in_vain(tmp_path: Path) -> None:
    executor, reporter = Counting(), Shown()
    opened = []

    def open_executor() -> Counting:
        opened.append(1)
        return executor

    pool = Pool(open_executor, BATCH)
    journal = Journal(tmp_path / "journal")
    first = run(task_of("random"), pool, journal, reporter)
    assert len(executor.seen) == TRIALS == len(first.genotypes) and opened == [1]
    run(task_of("random"), pool, journal, reporter)  # replayed
    again = SearchTask(**{**vars(task_of("random")), "name": "other"})
    run(again, pool, journal, reporter)  # the same draws under another name
    assert len(executor.seen) == TRIALS and opened == [1]
    assert first.accuracies[first.best] == first.accuracies.max()
    last = reporter.events[3]
    assert (last.stage, last.step, last.steps, last.workers) == ("t/random", TRIALS, TRIALS, 3)
    assert last.argmax_top1 == first.accuracies.max() and last.per_second is not None and last.per_second > 0


def test_batches_given_up_on_are_left_out(tmp_path: Path) -> None:
    reporter = Shown()
    ran = played("regularized-evolution", tmp_path / "journal", Counting(broken=1), reporter=reporter)
    assert reporter.lines and all("gave up on a batch" in line for line in reporter.lines)
    assert 0 < len(ran.genotypes) < TRIALS and 1 not in ran.genotypes[:, 0]
    records = Journal(tmp_path / "journal").records
    assert sum(len(record["accuracy"]) for record in records) == TRIALS
    assert None in records[0]["accuracy"] or None in records[-1]["accuracy"]


def test_more_trials_go_on_where_the_others_ended(tmp_path: Path) -> None:
    short = played("nsga2", tmp_path / "journal", Counting())
    longer = played("nsga2", tmp_path / "journal", Counting(), trials=TRIALS + 9)
    assert len(longer.genotypes) == TRIALS + 9
    assert np.array_equal(longer.genotypes[:TRIALS], short.genotypes)


def test_one_genotype_is_evaluated_once_and_journaled(tmp_path: Path) -> None:
    executor = Counting()
    pool, journal = Pool(lambda: executor, BATCH), Journal(tmp_path / "journal")
    first = evaluate("chosen", (0, 1, 2, 0, 1), pool, journal)
    again = evaluate("chosen", (0, 1, 2, 0, 1), Pool(lambda: executor, BATCH), Journal(tmp_path / "journal"))
    assert first == again and len(executor.seen) == 1
    with pytest.raises(InvalidInput, match="could not be evaluated"):
        evaluate("chosen", (1, 1, 2, 0, 1), Pool(lambda: Counting(broken=1), BATCH), journal)


def test_the_executor_of_one_process_gives_what_its_evaluator_gives() -> None:
    batches = [TABULAR.grid()[:3].astype(np.int32), TABULAR.grid()[5:6].astype(np.int32)]
    found = list(InProcessExecutor(Counting()).evaluate(batches))
    assert [len(one) for one in found] == [3, 1]
    assert np.array_equal(np.concatenate(found), Counting().accuracy(np.concatenate(batches)))


class Sure(Counting):
    """An evaluator that knows the standard errors of its scores."""

    def scores(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return scores and errors [N, 2]."""
        found = self.accuracy(genotypes)
        return np.stack([found, found / 10], 1)


def test_standard_errors_that_an_evaluator_knows_are_journaled_and_read_again(tmp_path: Path) -> None:
    genotype = (0, 1, 2, 0, 1)
    pool = Pool(lambda: InProcessExecutor(Sure()), BATCH)
    found = evaluate("chosen", genotype, pool, Journal(tmp_path / "journal"))
    assert pool.errors == {genotype: found / 10} and pool.errors_of([genotype]) == pool.errors
    again = Pool(lambda: Counting(), BATCH)
    journal = Journal(tmp_path / "journal")
    assert evaluate("chosen", genotype, again, journal) == found and again.errors == pool.errors
    assert [record["errors"] for record in journal.records] == [[found / 10]]
    assert again.errors_of([genotype, (0, 0, 0, 0, 0)]) is None  # of one it is not known


# ------------------------------------------------------------------------------------------------------- views, regret


@given(st.integers(0, 10_000))
def test_a_view_and_its_space_decode_the_same_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = SPACE.coarse()
    fine = SPACE.fine(SPACE.decode(SPACE.sample(rng, 1)[0]))
    for view in (coarse, fine):
        genotypes = view.sample(rng, 3)
        for mine, whole in zip(genotypes, embedding(SPACE, view)(genotypes), strict=True):
            ours, theirs = view.decode(mine), SPACE.decode(whole)
            assert (ours.stages, ours.head, ours.num_classes) == (theirs.stages, theirs.head, theirs.num_classes)
            assert SPACE.encode(theirs) == tuple(whole)


points = st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0, 1)), min_size=1, max_size=12)


@given(points, st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)))
def test_regret_is_what_the_best_within_the_latency_has_over_a_network(
    rows: list[tuple[float, float, float]], expected: tuple[float, float]
) -> None:
    latencies, accuracies = np.array(rows)[:, :2], np.array(rows)[:, 2]
    known = EvaluatedNetworks(latencies, latencies <= expected, accuracies)
    regrets, front = known.regrets(accuracies), known.on_front(latencies, accuracies)
    for t, bound in enumerate(expected):
        quick = [top1 for row, top1 in zip(latencies, accuracies, strict=True) if row[t] <= bound]
        assert regrets[:, t].tolist() == (max(quick, default=0.0) - accuracies).tolist()
        for i, (late, top1) in enumerate(zip(latencies[:, t], accuracies, strict=True)):
            as_quick = latencies[:, t] <= late * (1 + 1e-9)  # equal latencies summed in another order are equal
            assert front[i, t] == (not (as_quick & (accuracies > top1)).any())


@given(points)
def test_the_universal_network_has_the_least_worst_regret_of_those_allowed(
    rows: list[tuple[float, float, float]],
) -> None:
    latencies, accuracies = np.array(rows)[:, :2], np.array(rows)[:, 2]
    expected = np.median(latencies, 0)
    known = EvaluatedNetworks(latencies, latencies <= expected, accuracies)
    kept = known.kept.all(1)
    assume(kept.any())
    chosen, worst = known.least_regret(expected), known.regrets(accuracies).max(1)
    assert kept[chosen] and worst[chosen] == worst[kept].min()
    shares = (latencies / expected).mean(1)
    assert shares[chosen] == shares[kept & (accuracies == accuracies[chosen])].min()


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ('"version": 2', '"version": 1'),
        ('"networks"', '"rows"'),
        ('"regret": {', '"lost": {'),
        ("0.1", '"much"'),
        ("y", "z"),
    ],
)
def test_a_table_of_another_release_or_altered_is_refused_in_one_line(tmp_path: Path, part: str, other: str) -> None:
    path = tmp_path / "universal.json"
    row = RegretRow(
        "a", 0.5, np.array([1.0, 2.0]), np.array([0.1, -0.2]), np.array([True, False]), np.array([True, True])
    )
    path.write_text(dump_json(regret_table(["x", "y"], {"x": row})))
    assert read_regret_table(path, ["x", "y"])["networks"][0]["worst_regret"] is None  # it cannot be used on y
    assert part in path.read_text()
    path.write_text(path.read_text().replace(part, other))
    with pytest.raises(InvalidInput, match="no table of regrets of this release"):
        read_regret_table(path, ["x", "y"])
