"""Batches on Ray workers: order, lost workers, poison batches, results that do not depend on who computed them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
from numpy.typing import NDArray

from nas.distributed.cluster import Cluster, store_bytes
from nas.distributed.executor import AHEAD, GivenUp, RayExecutor
from nas.errors import InvalidInput
from tests.support import evaluators

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads and processes in /proc")
WEIGHTS = np.linspace(0, 1, 6)
PAYLOAD = {"weights": WEIGHTS, "folder": ""}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[Cluster]:
    """One cluster for all tests, which believes that it has two GPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_OVERRIDE_RESOURCES", '{"GPU": 2}')
        one = Cluster(4)
    with one:
        yield one


def batches(count: int, *, first: dict[int, int] | None = None) -> list[NDArray[np.int32]]:
    """Return batches of 1 to 5 genotypes, all different; `first` puts a special option first in some."""
    rng = np.random.default_rng(0)
    made = [rng.integers(0, 9, (1 + i % 5, 6)).astype(np.int32) for i in range(count)]
    for number, option in (first or {}).items():
        made[number][0, 0] = option
    return made


def test_standard_errors_that_an_evaluator_knows_come_with_its_scores() -> None:
    made = batches(3)
    with RayExecutor(evaluators.sure, PAYLOAD, workers=1) as executor:
        for batch, result in zip(made, executor.evaluate(made), strict=True):
            assert result is not None
            np.testing.assert_array_equal(result, np.stack([batch @ WEIGHTS, batch @ WEIGHTS / 10], 1))


def test_results_keep_the_order_and_work_is_not_started_far_ahead() -> None:
    with RayExecutor(evaluators.weighted, PAYLOAD, workers=2) as executor:
        asked: list[int] = []

        class Watched(list[NDArray[np.int32]]):
            def __getitem__(self, number: int) -> NDArray[np.int32]:  # type: ignore[override]
                asked.append(number)
                return super().__getitem__(number)

        made = batches(40)
        for number, result in enumerate(executor.evaluate(Watched(made))):
            assert result is not None
            np.testing.assert_array_equal(result, made[number] @ WEIGHTS)
            assert max(asked) < number + 1 + AHEAD * 2
        assert asked == list(range(40)) and number == 39
        assert 1 <= executor.live_workers <= 2  # the second may still be starting
        assert list(executor.evaluate([])) == []
        half = executor.evaluate(made)
        next(half)
        del half  # a consumer that stops early leaves nothing behind that the next call could trip over
        assert len(list(executor.evaluate(made))) == 40
    executor.close()  # once more does no harm


def test_a_killed_worker_is_replaced_and_its_batch_done_again(tmp_path: Path) -> None:
    made = batches(12, first={5: evaluators.KILL_ONCE})
    with RayExecutor(evaluators.weighted, PAYLOAD | {"folder": str(tmp_path)}, workers=2) as executor:
        for result, batch in zip(executor.evaluate(made), made, strict=True):
            np.testing.assert_array_equal(result, batch @ WEIGHTS)
        assert executor.lost_workers == 1 and executor.given_up == []
        os.kill(executor.live_pids[0], signal.SIGKILL)  # while it has nothing to do
        assert all(result is not None for result in executor.evaluate(made))


def test_poison_batches_are_left_out_and_reported() -> None:
    made = batches(9, first={2: evaluators.KILL, 4: evaluators.RAISE})
    with RayExecutor(evaluators.weighted, PAYLOAD, workers=2, attempts=2) as executor:
        list(executor.evaluate(made[:1]))
        results = list(executor.evaluate(made))
        assert [number for number, result in enumerate(results) if result is None] == [2, 4]
        found = sorted(executor.given_up, key=lambda one: one.batch)
    assert [(one.batch, one.candidates) for one in found] == [(3, 3), (5, 5)]  # numbers over both calls
    assert "died" in found[0].error
    assert found[1] == GivenUp(5, 5, "ZeroDivisionError: integer division or modulo by zero")
    assert 2 <= executor.lost_workers <= 3  # once beside another batch, then alone


def test_an_evaluator_that_cannot_be_built_ends_in_one_line() -> None:
    with (
        RayExecutor(evaluators.broken, {"a": 1}, workers=1, attempts=2) as executor,
        pytest.raises(InvalidInput, match=r"cannot build their evaluator: RuntimeError: no evaluator from \['a'\]"),
    ):
        list(executor.evaluate(batches(1)))


def test_the_number_of_workers_changes_no_bit() -> None:
    payload = {"images": np.random.default_rng(0).normal(size=(500, 300)).astype(np.float32)}
    made = batches(6)
    found = []
    for workers in (1, 2, 4):
        with RayExecutor(evaluators.compiled, payload, workers=workers) as executor:
            found.append([result.tolist() for result in executor.evaluate(made) if result is not None])
    assert found[0] == found[1] == found[2]
    assert [len(result) for result in found[0]] == [1 + len(batch) for batch in made]
    assert {result[0] for result in found[0]} == {1}  # thread, on any machine


def test_each_worker_has_its_own_gpu_where_there_are_enough() -> None:
    made = [np.full((1, 6), evaluators.GPU, np.int32)] * 8
    with RayExecutor(evaluators.weighted, PAYLOAD, workers=2) as executor:
        assert executor._cluster.gpus_each == 1
        assert {float(result[0]) for result in executor.evaluate(made) if result is not None} <= {0.0, 1.0}
    shares = []
    for workers in (1, 2, 3, 4, 5):
        one = Cluster(workers)
        shares.append(one.gpus_each)
    assert shares == [1, 1, 1 / 2, 1 / 2, 1 / 3]


def test_bad_settings_are_refused_in_one_line() -> None:
    with pytest.raises(InvalidInput, match="workers must lie between 1 and"):
        Cluster(0)
    with pytest.raises(InvalidInput, match="threads per worker"):
        Cluster(1, threads=0)
    with pytest.raises(InvalidInput, match="attempt"):
        RayExecutor(evaluators.weighted, PAYLOAD, workers=1, attempts=0)
    with pytest.raises(InvalidInput, match="nothing answers"):
        Cluster(1, address="127.0.0.1:1")
    assert store_bytes({"a": np.zeros(1000), "b": [1]}) > 8000


@pytest.mark.parametrize("direct", [True, False])
def test_a_cluster_that_asks_for_its_token_is_named_with_the_remedy(
    direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = ray.exceptions.AuthenticationError("a token is missing")
    quoted = ConnectionError("failed to connect")
    quoted.__cause__ = RuntimeError(f"no GCS. Last error: ray.exceptions.{type(refused).__name__}: RPC error")

    def init(**_: object) -> None:
        raise refused if direct else quoted

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # of the cluster of the other tests
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InvalidInput, match="at auto asks for its token: set RAY_AUTH_MODE=token"):
        Cluster(1, address="auto")
    with pytest.raises(InvalidInput, match="no Ray cluster on this machine: "):
        Cluster(1)


DRIVER = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
import numpy as np
from tests.support import evaluators
from nas.distributed.executor import RayExecutor
with RayExecutor(evaluators.weighted, {"weights": np.ones(6), "folder": ""}, workers=2) as executor:
    list(executor.evaluate([np.zeros((1, 6), np.int32)] * 4))
    print("at work", executor._cluster._folder, *executor.live_pids, flush=True)
    list(executor.evaluate([np.full((1, 6), evaluators.SLEEP, np.int32)] * 4))
"""


def test_ctrl_c_ends_everything_and_says_nothing_of_ray(root: Path) -> None:
    path = str(root)
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER], env=os.environ | {"PYTHONPATH": path}, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as driver:  # fmt: skip
        assert driver.stdout is not None
        words = driver.stdout.readline().split()
        assert words[:2] == ["at", "work"]
        folder, pids = Path(words[2]), words[3:]
        assert folder.is_dir() and pids
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: to all processes
        out, err = driver.communicate(timeout=120)
    assert driver.returncode == -signal.SIGINT and out == ""
    assert err.rstrip().endswith("KeyboardInterrupt") and "(raylet)" not in err and "worker died" not in err
    assert not folder.exists()
    for _ in range(300):
        if not any(Path("/proc", pid).exists() for pid in pids):
            return
        time.sleep(0.1)
    raise AssertionError("workers outlived the driver")
