"""Which candidates a stage sends to be trained alone, and which of them is left: laws of the pure part."""

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from nas.finalists import in_turn, last_standing
from nas.presets import Halving
from nas.protocols import Genotype

halvings = st.builds(
    Halving,
    candidates=st.integers(1, 20),
    rungs=st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True).map(lambda rungs: tuple(sorted(rungs))),
    factor=st.integers(2, 5),
)


@given(halvings, st.randoms(use_true_random=False))
def test_the_best_stands_last_and_each_rung_trains_survivors(halving: Halving, luck: Random) -> None:
    candidates: list[Genotype] = [(i,) for i in range(halving.candidates)]
    worth = {candidate: luck.random() for candidate in candidates}
    asked: list[tuple[Genotype, int]] = []

    def correct(candidate: Genotype, epochs: int) -> int:
        asked.append((candidate, epochs))
        return int(1e6 * worth[candidate]) + epochs

    winner = last_standing(candidates, halving, correct)
    assert worth[winner] == max(worth.values())
    assert len(asked) == len(set(asked)) == halving.trainings(len(candidates))
    alive = [{candidate for candidate, epochs in asked if epochs == rung} for rung in halving.rungs]
    assert all(later <= earlier for earlier, later in pairwise(alive))


@given(st.dictionaries(st.integers(0, 99), st.tuples(st.integers(0, 9), st.sampled_from("abc"))), st.integers(1, 12))
def test_each_origin_sends_its_best_in_turn(found: dict[int, tuple[int, str]], most: int) -> None:
    counts: dict[Genotype, int] = {(i,): count for i, (count, _) in found.items()}
    origins: dict[Genotype, str] = {(i,): origin for i, (_, origin) in found.items()}
    sent = in_turn(list(counts), counts, origins, most)
    assert len(sent) == len(set(sent)) == min(most, len(found))
    for origin in set(origins.values()):
        team = [genotype for genotype in counts if origins[genotype] == origin]
        mine = [genotype for genotype in sent if origins[genotype] == origin]
        left = [counts[genotype] for genotype in team if genotype not in mine]
        assert all(counts[genotype] >= max(left, default=0) for genotype in mine)
        fair = min(len(team), most // len(set(origins.values())))
        assert len(mine) >= fair


def test_words_name_who_is_trained_how_long() -> None:
    assert Halving(12, rungs=(1, 4), factor=4).words() == "12 to epoch 1, then 3 to epoch 4"
