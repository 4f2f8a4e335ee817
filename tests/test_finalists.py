"""Which candidates a stage sends to be trained alone, and for how long: laws of the pure part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import InvalidInput
from nas.finalists import entrants
from nas.presets import QUICK, Finals
from nas.protocols import Genotype
from nas.search import halving


@given(st.integers(1, 40), st.sets(st.integers(1, 30), min_size=1, max_size=4))
def test_the_epochs_told_are_those_that_halving_runs(candidates: int, epochs: set[int]) -> None:
    finals = Finals(candidates, 1, rungs=tuple(sorted(epochs)))
    state, done, trained = halving.init(tuple(map(str, range(candidates))), finals.rungs), 0, 0
    while not state.done:
        until, names = halving.ask(state)
        trained, done = trained + len(names) * (until - done), until
        for name in names:
            state = halving.tell(state, name, float(name))
    assert trained == halving.epochs(candidates, finals.rungs)


@given(st.dictionaries(st.integers(0, 99), st.tuples(st.integers(0, 9), st.sampled_from("abc"))), st.integers(1, 12))
def test_each_origin_sends_its_best_entrants(found: dict[int, tuple[int, str]], most: int) -> None:
    counts: dict[Genotype, int] = {(i,): count for i, (count, _) in found.items()}
    origins: dict[Genotype, str] = {(i,): origin for i, (_, origin) in found.items()}
    sent = entrants(list(counts), counts, origins, most)
    assert len(sent) == len(set(sent)) == min(most, len(found))
    for origin in set(origins.values()):
        team = [genotype for genotype in counts if origins[genotype] == origin]
        mine = [genotype for genotype in sent if origins[genotype] == origin]
        left = [counts[genotype] for genotype in team if genotype not in mine]
        assert all(counts[genotype] >= max(left, default=0) for genotype in mine)
        fair = min(len(team), most // len(set(origins.values())))
        assert len(mine) >= fair


def test_a_preset_takes_finalists_enough_for_a_choice() -> None:
    preset = QUICK.with_finalists(8)
    assert QUICK.with_finalists(None) is QUICK and preset.with_finalists(0).finals is None
    assert preset.finals == Finals(8, 2, open=5)
    with pytest.raises(InvalidInput, match="at least 6, or 0 for none, got 5"):
        QUICK.with_finalists(5)


def test_words_name_who_is_trained_how_long() -> None:
    coarse, fine = Finals(12, 4, open=8, rungs=(1, 4)).lines()
    assert coarse.endswith("12 trained alone, 8 of them drawn from the whole space, 12 to epoch 1, then 4 to epoch 4")
    assert fine.endswith("4 more against the best of those, 4 to epoch 1, then 2 to epoch 4")
