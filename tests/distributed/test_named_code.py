"""Workers run the code that the search at hand names, and no other."""

import os
from typing import Any

import pytest

from nas import registry
from nas.distributed.executor import _EvaluatorActor
from nas.registry import SPACES, UnstatedCode, load
from tests.extending.space import SPACE

NAME = "tests.extending.space:SPACE"


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which nothing was named yet, as that of a worker."""
    monkeypatch.setattr(registry, "_stated", set())


@pytest.mark.usefixtures("fresh")
def test_a_worker_loads_what_the_search_names() -> None:
    loaded = list[Any]()

    def build(payload: str) -> Any:
        loaded.append(load("space", SPACES, payload))

    with pytest.raises(UnstatedCode):
        _EvaluatorActor().build(build, NAME, frozenset())
    assert _EvaluatorActor().build(build, NAME, frozenset({("space", NAME)})) == os.getpid()
    assert loaded == [SPACE]
