"""A space, a preset and images small enough that a test compiles in seconds."""

from dataclasses import replace

import numpy as np

from nas.data import Dataset, Labelled, build_dataset
from nas.errors import InvalidInput
from nas.ops import Shape
from nas.ops.mobile_mqa import MobileMQAChoices
from nas.ops.uib import UIBChoices
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.space.choices import Absent, Sequence, Switch
from nas.space.forms import stack
from nas.supernet.presets import QUICK, StageBudget
from search_spaces.uib import uib_space, uib_stage

SPACE = uib_space(
    "tiny",
    (uib_stage(0, (8, 16, 24), (1, 2)), uib_stage(1, (16, 32), (1, 2, 3))),
    stem=(8, 16), fused=(8, 16), expansions=(1.0, 2.0), features=32, hidden=32,
    input_shape=Shape(32, 32, 3), num_classes=4,
)  # fmt: skip
SMALL = uib_space(
    "small", (stack("stage0", (8, 16), (1,), UIBChoices(((0, 3), (3, 3)))),), stem=(8,), fused=(8,), expansions=(1.0,),
    features=16, hidden=16, input_shape=Shape(32, 32, 3), num_classes=4,
)  # fmt: skip
ATTENTION = Switch((Absent(), MobileMQAChoices((2, 4), (8, 16))), name="attention")
HYBRID = uib_space(
    "tiny-hybrid",
    (stack("stage0", (8, 16), (1, 2), Sequence((UIBChoices(((0, 3), (3, 3))), ATTENTION))),),
    stem=(8,), fused=(8,), expansions=(1.0,), features=16, hidden=16,
    input_shape=Shape(32, 32, 3), num_classes=4,
)  # fmt: skip
PRESET = replace(
    QUICK,
    name="tiny",
    compilation_steps=0,
    trial_steps=1,
    coarse=StageBudget(steps=4, updates=1, samples=2, steps_per_dispatch=2, averages=False),
    fine=StageBudget(steps=4, updates=1, samples=2, steps_per_dispatch=2, averages=False),
    batch=8,
    reward_batch=8,
    eval_images=24,
    eval_batch=12,
    front_size=12,
    proxy_width=0.5,
    verdict_gmacs=0.0,
)


def latency_range(settings: SearchConfig) -> tuple[float, float]:
    """Return the smallest and largest latency that the space reaches, also where the budget of `settings` is beyond."""
    try:
        return make_plan(settings).reachable
    except InvalidInput as error:
        words = str(error).replace(",", "").split()
        return float(words[words.index("between") + 1]), float(words[words.index("and") + 1])


def images(count: int = 160, classes: int = 4, resolution: int = 8) -> Dataset:
    """Return grey images whose class is the quarter in which they are bright, with noise."""
    rng = np.random.default_rng(0)

    def draw(n: int) -> Labelled:
        y = np.arange(n) % classes
        x = rng.integers(0, 120, size=(n, resolution, resolution, 1))
        half = resolution // 2
        for i, label in enumerate(y):
            x[i, (label // 2) * half : (label // 2 + 1) * half, (label % 2) * half : (label % 2 + 1) * half] += 100
        return Labelled(x.astype(np.uint8), y.astype(np.int32))

    return build_dataset("quarters", draw(count), draw(count // 4))
