"""The evaluator `trained`: every candidate's proxy is trained alone, and stopped early where another beats it anyway.

As in Speckhard et al. 2022 (arXiv 2202.05397), whose strategy stops trials early, without saying by what rule. Ours
needs no threshold: candidates come in batches, as many for any number of workers; each is trained for the first
epochs, and stopped there where another one of its batch is more accurate by one standard error, with no more
multiply-accumulates and no more memory. Its accuracy is that where it stopped: less than it would reach, of a network
that is off the front of these costs either way, unless the learning curves cross.
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data import Dataset, at_resolution, split_for_search, validation_view
from nas.protocols import Genotypes
from nas.records.results import standard_error
from nas.registry import SPACES, load
from nas.runs.evaluators import EvaluatorSource, space_payload
from nas.runs.front_end import with_front_end
from nas.runs.plan import SearchPlan
from nas.runs.sources import without
from nas.supernet.members import family_here
from nas.training.candidates import CandidateTrainings
from nas.training.loop import TrainingConfig
from nas.training.members import MemberTrainer
from nas.training.trainees import Trainee

RUNGS = (3, 9)  # epochs: of all candidates, and of those that are not stopped
SMOKE_RUNGS = (1, 2)


def rungs_of(plan: SearchPlan) -> tuple[int, int]:
    """Return the epochs after which candidates are stopped, and those of a whole training."""
    first, last = SMOKE_RUNGS if plan.preset.name == "smoke" else RUNGS
    times = plan.trial_times(first)
    return times * first, times * last


def stopped_early(
    top1: NDArray[np.float64], costs: NDArray[np.float64], errors: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return which candidates [N] another one beats: in `top1` [N] by their error [N], at costs [N, M] no larger."""
    better = top1[None] > (top1 + errors)[:, None]  # [N, others]
    cheaper = (costs[None] <= costs[:, None]).all(2)
    return np.asarray((better & cheaper).any(1))


class TrainedAlone:
    """Gives genotypes [N, D] of a space the accuracy [N] of their proxies, trained alone."""

    def __init__(self, payload: dict[str, Any]) -> None:
        published = with_front_end(load("space", SPACES, payload["space"]), payload["front_end"])
        self.space = without(published.with_input(*payload["target_input"]), payload["left_out"])
        self.proxies = self.space.proxy(*payload["proxy"])
        self.data = Dataset(**payload["data"])
        self.rungs, seed = payload["rungs"], payload["seed"]
        batch = min(TrainingConfig.batch_size, len(self.data.x_train))
        self.config = TrainingConfig(epochs=self.rungs[-1], batch_size=batch, seed=seed)

    def accuracy(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the accuracies, fractions of the validation images; 0 where a loss is no longer finite."""
        return self._trained(genotypes)[:, 0]

    def scores(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the scores with their standard errors [N, 2]; of classification scores alone [N].

        The error of a share follows from it and the number of images.
        """
        found = self._trained(genotypes)
        return found[:, 0] if self.data.has_classes else found

    def _trained(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the scores of genotypes [N, D] with their standard errors [N, 2], each from where it stopped."""
        rows = [tuple(row) for row in genotypes.tolist()]
        targets = [self.space.decode(row) for row in rows]
        costs = np.array([[arch.macs, arch.peak_activation_elements] for arch in targets], np.float64)
        with TemporaryDirectory() as folder:
            trials = CandidateTrainings(self.data, self.config, Path(folder), family_here(self.proxies))
            trainer = MemberTrainer(trials, lambda *_: None)
            first, last = self.rungs
            found = self._train(trainer, rows, [arch.digest for arch in targets], range(len(rows)), first)
            going = np.flatnonzero(~stopped_early(found[:, 0], costs, found[:, 1]))
            found[going] = self._train(trainer, rows, [arch.digest for arch in targets], going.tolist(), last)
        return found

    def _train(
        self, trainer: MemberTrainer, rows: Sequence[tuple[int, ...]], digests: Sequence[str], which: Sequence[int],
        epochs: int,
    ) -> NDArray[np.float64]:  # fmt: skip
        """Return score and standard error [N, 2] of the networks numbered in `which` after so many epochs."""
        seed = self.config.seed
        trainees = [Trainee(digests[i], self.proxies.decode(rows[i]), seed, epochs) for i in which]
        curves = {one.trainee.digest: one.curve for one in trainer.train(trainees)}

        def score(digest: str) -> tuple[float, float]:
            top1, known = curves[digest][-1] if curves[digest] else 0.0, trainer.trials.errors(digest)
            return top1, known.get(epochs, standard_error(top1, len(self.data.y_test)))

        return np.array([score(digests[i]) for i in which]).reshape(-1, 2)


def payload(plan: SearchPlan, weights: Any) -> dict[str, Any]:
    """Return what `build` needs: the space, and the images of proxies with validation images in place of the test's."""
    at_size = at_resolution(plan.dataset, plan.proxy_resolution)
    view = validation_view(at_size, plan.preset.validation_fraction, plan.settings.seed)
    return space_payload(plan, weights) | {
        "data": {field.name: getattr(view, field.name) for field in fields(view)},
        "rungs": rungs_of(plan),
        "seed": plan.settings.seed,
    }


def build(payload: dict[str, Any]) -> TrainedAlone:
    """Return the evaluator, in any process."""
    return TrainedAlone(payload)


def images(plan: SearchPlan) -> int:
    """Return the number of validation images."""
    return len(split_for_search(plan.dataset, plan.preset.validation_fraction, plan.settings.seed)[1])


TRAINED = EvaluatorSource(build, images, "trained alone, stopped early where beaten", payload)
