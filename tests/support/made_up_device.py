"""A made-up device whose kinds of kernels differ, and random networks to measure on it."""

from dataclasses import replace

import numpy as np

from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from search_spaces.ofa_mbv3 import SPACE as OFA

APART = Roofline(
    "apart", 40.0, 8.0, launch_overhead_ms=0.3, time_per_kernel_us=12.0, bytes_per_weight=4.0, bytes_per_activation=4.0,
    kind_efficiency=(("conv", 0.5), ("pointwise", 1.5), ("depthwise", 0.2), ("dense", 0.8)),
    kind_memory_efficiency=(("depthwise", 3.0), ("elementwise", 0.4), ("pool", 2.0)), overlap=False,
)  # fmt: skip
TOGETHER = replace(APART, name="together", kind_memory_efficiency=(), overlap=True)


def sampled(count: int, seed: int) -> tuple[ArchSpec, ...]:
    """Return random networks of the once-for-all space."""
    return tuple(OFA.decode(tuple(map(int, g))) for g in OFA.sample(np.random.default_rng(seed), count))


SEEN, UNSEEN = sampled(50, 0), sampled(40, 1)
