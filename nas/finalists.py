"""Finalists: a search's best candidates trained alone, ever fewer for ever longer; the last one standing is the answer.

Shared weights rank roughly, and prefer what shares well. So each stage sends its best candidates into synchronous
successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943): every one is trained alone from scratch, the best
fraction goes on from where it was. Pictures for training and for the comparison are those of the search: what was held
out for rewards decides, the test set is never seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from pathlib import Path

import jax
import pandas as pd

from nas.arch import ArchSpec, save_arch
from nas.data import Dataset
from nas.data.split import Indices
from nas.files import write_whole
from nas.journal import Journal
from nas.nn.fitting import estimated_statistics, feeds, top1
from nas.nn.network import split_statistics
from nas.presets import Halving
from nas.protocols import Genotype
from nas.space import StagedSpace
from nas.train import Plan, TrainSettings, fit, fitting, initialised
from nas.watch import Progress, Watcher


@dataclass(frozen=True)
class Contest:
    """The trainings of one stage's finalists: on which pictures, how long, where; every count goes into the journal."""

    name: str  # of the journal's stage, as in "coarse finalists"
    halving: Halving
    dataset: Dataset  # whose test pictures are those that were held out
    seed: int
    folder: Path  # of the checkpoints
    journal: Journal
    watch: Watcher

    def winner(self, proxies: dict[Genotype, ArchSpec], supernet_top1: dict[Genotype, float]) -> Genotype:
        """Return the genotype whose proxy wins, going on from what the journal and the checkpoints hold."""
        records = [record for record in self.journal.records if record["stage"] == self.name]
        done = {(tuple(record["genotype"]), record["epochs"]): int(record["correct"]) for record in records}
        pictures, total = len(self.dataset.x_test), self.halving.trainings(len(proxies))

        def correct(genotype: Genotype, epochs: int) -> int:
            if (genotype, epochs) not in done:
                done[genotype, epochs] = self.correct(proxies[genotype], epochs)
                record = {"stage": self.name, "genotype": list(genotype), "epochs": epochs}
                counted = {"correct": done[genotype, epochs], "pictures": pictures}
                self.journal.append({**record, **counted, "supernet_top1": supernet_top1[genotype]})
            best = max(done.values()) / pictures
            self.watch.progress(Progress(self.name, len(done), total, argmax_top1=best))
            return done[genotype, epochs]

        return last_standing(list(proxies), self.halving, correct)

    def correct(self, proxy: ArchSpec, epochs: int) -> int:
        """Return how many held-out pictures `proxy` gets right after `epochs` of a training of the full length.

        It goes on from the checkpoint of an earlier rung, or of a training that was interrupted.
        """
        data = fitting(proxy, self.dataset)
        batch = min(TrainSettings.batch_size, len(data.x_train))
        settings = TrainSettings(epochs=self.halving.rungs[-1], batch_size=batch, seed=self.seed)
        train_feed, held_feed = feeds(data)
        params, statistics = split_statistics(initialised(proxy, self.seed, None))
        plan = Plan(proxy, settings, data, train_feed)
        state = fit(plan, params, self.folder / proxy.digest[:12], lambda _: None, until=epochs * plan.per_epoch)
        weights = estimated_statistics(proxy, state.average | statistics, train_feed, batch)
        correct = round(top1(proxy, weights, held_feed) * len(data.x_test))
        jax.clear_caches()  # each proxy has programs of its own
        return correct

    def words(self, chosen: Genotype) -> str:
        """Return in words how `chosen` won."""
        mine = [r for r in self.journal.records if r["stage"] == self.name and tuple(r["genotype"]) == chosen]
        rivals = len({tuple(r["genotype"]) for r in self.journal.records if r["stage"] == self.name})
        return (
            f"the best of {rivals} candidates whose proxies were trained alone, the best ones longest: "
            f"{mine[-1]['correct'] / mine[-1]['pictures']:.2%} of {mine[-1]['pictures']:,} held-out pictures right "
            f"after {mine[-1]['epochs']} epochs"
        )


def last_standing(
    candidates: Sequence[Genotype], halving: Halving, correct: Callable[[Genotype, int], int]
) -> Genotype:
    """Return the candidate that survives every rung; `correct(candidate, epochs)` counts its right answers.

    Of candidates with equal counts the one named first goes on.
    """
    alive = list(candidates)
    for epochs in halving.rungs:
        counts = {candidate: correct(candidate, epochs) for candidate in alive}
        alive = sorted(alive, key=lambda candidate: -counts[candidate])[: halving.survivors(len(alive))]
    return alive[0]


def in_turn(
    genotypes: Sequence[Genotype], counts: dict[Genotype, int], origins: dict[Genotype, str], most: int
) -> list[Genotype]:
    """Return up to `most` of `genotypes`: each origin in turn sends its best by `counts`, so that none crowds out."""
    teams: dict[str, list[Genotype]] = {}
    for genotype in genotypes:
        teams.setdefault(origins[genotype], []).append(genotype)
    ranked = [sorted(team, key=lambda genotype: -counts[genotype]) for team in teams.values()]
    rounds = (genotype for row in zip_longest(*ranked) for genotype in row if genotype is not None)
    return list(islice(rounds, most))


def searched_part(dataset: Dataset, train_rows: Indices, held_rows: Indices) -> Dataset:
    """Return the pictures a search works with as a data set of their own: the held-out ones stand for its test set."""
    x, y = dataset.x_train, dataset.y_train
    return replace(dataset, x_train=x[train_rows], y_train=y[train_rows], x_test=x[held_rows], y_test=y[held_rows])


def write_finalists(out: Path, journal: Journal, spaces: dict[str, StagedSpace]) -> None:
    """Write `finalists.csv`: one row per stage, architecture and rung, as the journal has them; specs in `specs/`."""
    (out / "specs").mkdir(exist_ok=True)
    rows = []
    for record in journal.records:
        stage = record["stage"].removesuffix(" finalists")
        if stage == record["stage"]:
            continue
        arch = spaces[stage].decode(record["genotype"])
        spec = f"specs/{arch.digest[:12]}.json"
        save_arch(arch, out / spec)
        top1 = record["correct"] / record["pictures"]
        rows.append((stage, arch.digest, spec, record["epochs"], top1, record["pictures"], record["supernet_top1"]))
    columns = ["stage", "digest", "spec", "epochs", "top1", "pictures", "supernet_top1"]
    write_whole(out / "finalists.csv", pd.DataFrame(rows, columns=columns).to_csv(index=False))
