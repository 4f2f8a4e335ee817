"""Which ops are suspected where networks are slower than predicted, and when none is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_models.calibration.agreement import agreement
from latency_models.calibration.suspicion import Fitted, suspicions
from latency_models.unsupported import Unsupported
from nas.arch import ArchSpec
from nas.ops import Act, Conv, Head, InvertedResidual, Shape

SHAPE = Shape(16, 16, 3)
FALLS_BACK = Unsupported("act", "hswish", True, "its manual, p. 3")


def network(act: Act, blocks: int = 1, window: int = 3) -> ArchSpec:
    """A network whose blocks have this activation and window."""
    block = InvertedResidual(16, 32, window, act=act)
    return ArchSpec(SHAPE, ((Conv(16, 3, 2), *[block] * blocks),), Head(), 4)


SLOW = [network("hswish", blocks) for blocks in (1, 2, 3, 4)]
FAST = [network("relu", blocks, window) for blocks in (1, 2, 3) for window in (3, 5)]
PREDICTED = [1.0] * 10


def test_an_op_that_only_the_slow_networks_have_is_suspected_with_its_evidence() -> None:
    (said,) = suspicions([*SLOW, *FAST], PREDICTED, [3.0] * 4 + [1.02] * 6, interval=0.08)
    assert said.startswith("suspected: h-swish occurs in all 4 networks that take 3.0 times their prediction, in none")
    assert "of the 6 others" in said and "100 % of the excess" in said.replace("100%", "100 %")
    (known,) = suspicions([*SLOW, *FAST], PREDICTED, [3.0] * 4 + [1.02] * 6, unsupported=[FALLS_BACK])
    assert known.endswith("the target's file says of it: it falls back to the CPU (its manual, p. 3)")


def test_what_always_occurs_together_is_named_together() -> None:
    slow = [network("hswish", blocks, 7) for blocks in (1, 2, 3, 4)]
    (said,) = suspicions([*slow, *FAST], PREDICTED, [3.0] * 4 + [1.0] * 6)
    assert "7x7 windows and h-swish (always together here, so not told apart) occur in all 4" in said


@given(st.floats(0.3, 20), st.floats(1.0, 1.2))
def test_one_factor_for_all_is_no_op(factor: float, wobble: float) -> None:
    measured = [factor * (wobble if i % 2 else 1.0) for i in range(10)]
    said = suspicions([*SLOW, *FAST], PREDICTED, measured)
    assert not any("suspected" in line for line in said)
    assert bool(said) == (factor > 1.25)


def test_slower_by_different_factors_is_judged_beside_the_fastest() -> None:
    (said,) = suspicions([*SLOW, *FAST], PREDICTED, [9.0] * 4 + [2.0] * 6)
    assert "h-swish occurs in all 4 networks that take 9.0 times their prediction" in said


def test_too_little_evidence_is_said_to_be() -> None:
    (said,) = suspicions([SLOW[0], FAST[0], FAST[1]], PREDICTED[:3], [3.0, 1.0, 1.0])
    assert said.startswith("1 of 3 networks is far slower than predicted, and it alone has h-swish: too few networks")
    assert suspicions([SLOW[0]], [1.0], [9.0]) == ()
    mixed = suspicions([*FAST, *[replace(one, name="again") for one in FAST]], [1.0] * 12, [3.0] * 6 + [1.0] * 6)
    assert "no op tells them from the others" in mixed[0]


BEFORE = Fitted(FAST, [1.0] * 6, [1.02, 0.98] * 3)


def test_one_network_is_judged_beside_those_of_the_fit() -> None:
    (said,) = suspicions([SLOW[1]], [1.0], [3.0], interval=0.08, fitted=Fitted(FAST * 2, [1.0] * 12, [1.0, 0.99] * 6))
    assert said.startswith("suspected: h-swish occurs in the one network that takes 3.0 times its prediction, in none")
    assert said.endswith("of the 12 others; 100% of the excess is attributed to it; one network is little evidence: "
                         "measure another with it")  # fmt: skip
    (few,) = suspicions([SLOW[1]], [1.0], [3.0], fitted=BEFORE)
    assert few.startswith("1 of 7 networks is far slower than predicted, and it alone has h-swish: too few networks")
    shared = Fitted([*FAST, SLOW[0]], [1.0] * 7, [1.0] * 7)
    assert suspicions([SLOW[1]], [1.0], [3.0], fitted=shared)[0].startswith("1 of 8 networks is far slower than")
    assert "no op tells it from the others" in suspicions([SLOW[1]], [1.0], [3.0], fitted=shared)[0]
    assert suspicions([SLOW[1]], [1.0], [1.1], fitted=BEFORE) == ()


def test_one_factor_for_all_that_were_added_is_said_beside_what_they_alone_have() -> None:
    factor, op = suspicions(SLOW, [1.0] * 4, [3.0, 3.1, 3.0, 3.1], fitted=BEFORE)
    assert factor.startswith("all 4 networks take 3.00 to 3.10 times their prediction, whatever they are made of")
    assert op.startswith("suspected: h-swish occurs in all 4 networks") and "none of the 6 others" in op
    (clock,) = suspicions(FAST[:3], [1.0] * 3, [3.0] * 3, fitted=Fitted(FAST[3:], [1.0] * 3, [1.0] * 3))
    assert clock.startswith("all 3 networks take 3.00 times")


# ----------------------------------------------------------------------------------------------------- the agreement

LATENCIES = st.lists(st.floats(0.1, 100), min_size=1, max_size=8)


@given(LATENCIES, st.floats(0.1, 10))
def test_a_common_factor_is_all_bias_and_no_disorder(predicted: list[float], factor: float) -> None:
    found = agreement(predicted, [factor * one for one in predicted])
    assert found.bias == pytest.approx(factor - 1) and found.scatter == pytest.approx(0, abs=1e-9)
    pairs = len(predicted) * (len(predicted) - 1) // 2
    assert found.other_order == 0 and found.same_order + found.unresolved == pairs


def test_pairs_within_their_spread_have_no_order() -> None:
    found = agreement([1.0, 2.0, 3.0], [1.0, 3.1, 3.0], [0.1, 0.1, 0.1])
    assert (found.same_order, found.other_order, found.unresolved) == (2, 0, 1)
    sure = agreement([1.0, 2.0, 3.0], [1.0, 3.1, 3.0])
    assert (sure.same_order, sure.other_order, sure.unresolved) == (2, 1, 0)
    assert sure.sentences()[1] == "order: 2 of 3 pairs as predicted, 1 the other way"
    assert len(agreement([1.0], [1.1]).sentences()) == 1 and np.isclose(agreement([1.0], [1.1]).bias, 0.1)
