"""Builds the results of a search: accuracies with their kind, one architecture with all its costs, its weights."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latency_models.target import load_target, target_names
from nas.arch import ArchSpec
from nas.nn.network import save_weights
from nas.records.results import SUPERNET, SUPERNET_INT8, AccuracyKind, Result, Score
from nas.report.recomputed import predicted_costs
from nas.runs.plan import SearchPlan
from nas.space.staged import StagedSpace
from nas.supernet.inherit import network_weights

SCORE_DIGITS = 6  # of scores times images, which are no whole numbers
CONVERGED_ENTROPY = 0.5  # of the uniform policy's, above which the summary says "not converged"


def as_accuracy(
    plan: SearchPlan, correct: float, images: int, how: str = SUPERNET, error: float | None = None
) -> Score:
    """Return the score, with its kind, of a proxy that classifies `correct` of `images` correctly.

    Of a task without classes `correct` is the score times the images, and `error` its standard error where it is known.
    """
    data, size = plan.dataset, plan.proxy_resolution.json
    how = SUPERNET_INT8 if how == SUPERNET and plan.settings.is_int8 else how
    kind = AccuracyKind(data.name, data.digest, size, plan.proxy_width, how, data.task.score.name)
    return Score.of(correct / images, images, kind, error)


def as_count(plan: SearchPlan, share: float, images: int) -> float:
    """Return a score as a number of images: of classification a whole one, of another task to six digits."""
    return round(share * images, None if plan.dataset.has_classes else SCORE_DIGITS)


def build_result(
    plan: SearchPlan,
    arch: ArchSpec,
    accuracy: Score,
    supernet: Score | None,
    *,
    entropy: float,
    notes: Iterable[str],
    learnt: bool = True,
) -> Result:
    """Return `arch` as the result of a search under `plan`, with all its costs.

    `accuracy` is the one it was chosen by; `supernet` that under shared weights, None where the supernet does not hold
    the architecture. `entropy` is that of the policy as a fraction of a uniform one's, 0 where no policy chose. A
    search that has not `learnt`, whose network is no better than chance, has not converged either.
    """
    model = plan.model
    others = {name: load_target(name).model().predict_ms(arch) for name in target_names() if name != plan.target_name}
    return Result(
        arch=arch,
        space=plan.settings.space,
        target=plan.target_name,
        latency_model=plan.settings.latency_model,
        **predicted_costs(model, arch),
        latency_unit=model.unit,
        latency_budget=plan.latency_budget,
        other_latencies_ms=others,
        macs=arch.macs,
        params=arch.params,
        accuracy=accuracy,
        supernet_accuracy=supernet,
        proxy_resolution=plan.proxy_resolution.json,
        proxy_width=plan.proxy_width,
        converged=learnt and entropy <= CONVERGED_ENTROPY,
        policy_entropy=entropy,
        genotype=plan.space.encode(arch),
        seed=plan.settings.seed,
        notes=tuple(notes),
        latency_error=plan.prediction_error(arch),
    )


def save_inherited(path: Path, params: dict[str, Any], space: StagedSpace, genotype: Sequence[int]) -> None:
    """Write the weights of one proxy, slices of a supernet over `space`: for `nas train --proxy --from-supernet`.

    `params` are the supernet's arrays by name, on a device or in memory. Normalisation statistics, which a supernet has
    not, are written as mean 0 and variance 1.
    """
    arch = space.decode(genotype)
    weights = network_weights(params, space, genotype)
    for kernel in arch.kernels:
        if f"{kernel.name}.scale" in weights:
            width = kernel.out_shape.channels
            weights[f"{kernel.name}.mean"] = np.zeros(width, np.float32)
            weights[f"{kernel.name}.var"] = np.ones(width, np.float32)
    save_weights(path, weights, arch, "inherited from a supernet, statistics not estimated")
