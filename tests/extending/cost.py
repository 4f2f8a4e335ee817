"""A cost: how many kernels have a window of 5 x 5 or larger, which some accelerators run badly."""

from nas.ops import Kernel
from nas.space.cost_table import Count


def is_large(kernel: Kernel) -> int:
    """Return 1 for a kernel with a large window, else 0."""
    return int(kernel.kernel_size >= 5)


LARGE_WINDOWS = Count("large_windows", is_large)  # a sum over kernels; `combiner="max"` takes the largest instead
