"""The evaluator that trains every candidate alone: who is stopped early, and that accuracies are those of trainings."""

from pathlib import Path

import numpy as np

from nas import registry
from nas.data.dataset import Labelled, build_dataset
from nas.ops import Head, Shape
from nas.ops.conv import ConvChoices
from nas.records.results import standard_error
from nas.runs.evaluators import evaluator_source
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.runs.trained_alone import stopped_early
from nas.search.loop import scores_of
from nas.space.forms import Single
from nas.space.staged import StagedSpace

SPACE = StagedSpace(
    "two", Shape(16, 1, 4), 2, (Single("stem", ConvChoices((1, 3)), (8,), stride=2),), head=Head(), proxy_width=1.0
)
registry.state(space="tests.runs.test_trained_alone:SPACE")


def test_a_candidate_is_stopped_where_another_beats_it_at_no_more_cost() -> None:
    top1 = np.array([0.9, 0.7, 0.7, 0.88, 0.5])
    costs = np.array([[10, 10], [10, 10], [9, 10], [20, 20], [1, 20]], float)
    # The third is cheaper than the first; the fourth lies within a standard error of it; the fifth has fewer MACs.
    for images, stopped in ((100, [False, True, False, False, False]), (4, [False] * 5)):  # of 4 no difference shows
        assert stopped_early(top1, costs, np.array([standard_error(one, images) for one in top1])).tolist() == stopped
    assert stopped_early(top1, costs, np.zeros(5)).tolist() == [False, True, False, True, False]
    assert not stopped_early(np.full(3, 0.5), np.ones((3, 2)), np.zeros(3)).any()


def test_candidates_learn_and_are_evaluated_alike_again(tmp_path: Path) -> None:
    rng, y = np.random.default_rng(0), np.arange(120) % 2
    x = rng.normal(size=(120, 16, 1, 4)).astype(np.float32)
    x[y == 1, ::2, 0, 0] += 3
    data = build_dataset("beats", Labelled(x, y), Labelled(x[:20], y[:20]), kind="sequences")
    config = SearchConfig(space="tests.runs.test_trained_alone:SPACE", target="cortex-m7", preset="smoke",
                          minimize=("energy",), data="beats")  # fmt: skip
    plan, source = make_plan(config, data), evaluator_source("trained")
    evaluator = source.build(source.payload(plan, None))
    genotypes = np.array([[0], [1]], np.int32)
    found = scores_of(evaluator, genotypes)  # of shares, whose errors follow from them
    assert source.images(plan) == 24 and not source.trains_supernet
    assert found.shape == (2,) and ((found >= 0) & (found <= 1)).all()
    np.testing.assert_array_equal(found, np.round(found * 24) / 24)
    np.testing.assert_array_equal(evaluator.accuracy(genotypes[:1]), found[:1])
