"""Random architectures keep the constraints, are distinct and canonical, and more of them begin with the fewer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_models.roofline import Roofline
from nas.errors import InvalidInput
from nas.search.constraints.repair import Constraints
from nas.search.constraints.sampling import random_satisfying
from nas.space.cost_table import compile_table
from tests.support.tiny import SPACE

LATENCY = compile_table(SPACE, Roofline("device", 4.0, 0.8, launch_overhead_ms=0.003, time_per_kernel_us=1.0))
LOW, HIGH = LATENCY.minimum()[0], LATENCY.maximum()[0]


@settings(max_examples=8, deadline=None)
@given(st.floats(0.3, 0.6), st.integers(0, 9))
def test_samples_keep_the_constraints(position: float, seed: int) -> None:
    constraints = Constraints(LATENCY, LOW + position * (HIGH - LOW), 0.02)
    found = random_satisfying(SPACE, constraints, 6, np.random.default_rng(seed))
    assert constraints.satisfied_by(np.array(found)).all()
    assert len(set(found)) == 6
    assert [tuple(g) for g in SPACE.canonical(np.array(found))] == found
    assert random_satisfying(SPACE, constraints, 3, np.random.default_rng(seed)) == found[:3]


def test_where_there_are_too_few_it_says_how_many() -> None:
    constraints = Constraints(LATENCY, float(LOW), 1e-9)  # the fastest network alone
    with pytest.raises(InvalidInput, match="only 1 of 5 networks within the constraints were found"):
        random_satisfying(SPACE, constraints, 5, np.random.default_rng(0))
