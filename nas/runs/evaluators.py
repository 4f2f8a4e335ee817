"""Sources of evaluators, which give candidates their accuracy: a supernet trained once, or one of the user's own.

An `EvaluatorSource` says how to build the `Evaluator` (nas/protocols.py) in this process or in any worker, on how many
images it takes accuracies, and how they are obtained, which is part of the kind of every accuracy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nas.records import results
from nas.registry import EVALUATORS, load
from nas.runs import shared_supernet
from nas.runs.plan import SearchPlan
from nas.search.loop import Build, Payload


def space_payload(plan: SearchPlan, weights: shared_supernet.Weights | None) -> dict[str, Any]:
    """Return what identifies the space of a plan: its name, and the input of target networks and proxies."""
    s, shape = plan.settings, plan.input_shape
    return {
        "space": s.space,
        "left_out": s.left_out,
        "front_end": plan.front_end,
        "target_input": (tuple(shape.size), shape.channels, plan.dataset.num_classes, s.drop_strides),
        "proxy": (tuple(plan.proxy_resolution), plan.proxy_width),
    }


@dataclass(frozen=True)
class EvaluatorSource:
    """A way for a run to get its evaluator.

    `build` is a function at module level: a worker imports it and calls it with the payload, a tree of numpy arrays and
    plain data. Genotypes are those of the whole space of the plan; `images` [count] gives the standard errors.
    """

    build: Build
    images: Callable[[SearchPlan], int]  # on which accuracies are taken
    how: str  # the `AccuracyKind.how` of its accuracies, such as `results.SUPERNET`
    payload: Callable[[SearchPlan, Any], Payload] = space_payload
    trains_supernet: bool = False  # a run trains one first, and payload gets its weights


def evaluator_source(name: str) -> EvaluatorSource:
    """Return the registered evaluator, or the one at "module:attribute"."""
    found: EvaluatorSource = load("evaluator", EVALUATORS, name)
    return found


SUPERNET = EvaluatorSource(
    shared_supernet.build_evaluator,
    shared_supernet.evaluation_image_count,
    results.SUPERNET,
    shared_supernet.evaluator_payload,
    trains_supernet=True,
)
