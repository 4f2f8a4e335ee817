"""Images that are too many for memory: those of a few steps at a time are decoded and put on the device.

While the device works on one part, a thread decodes the next. Which images a step sees, and in which order, is the same
as where all of them lie on the device, and so are the bytes of every result.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from numpy.typing import NDArray

from nas.data import ImageFiles

PART_BYTES = 128 << 20  # of decoded images on the device at once; the next part waits on the host
Item = TypeVar("Item")
Made = TypeVar("Made")


def is_streamed(images: Any) -> bool:
    """Return whether `images` are files that are too many to be kept decoded."""
    return isinstance(images, ImageFiles) and not images.kept


def batches_per_part(images: Any, batch: int) -> int:
    """Return how many batches make a part."""
    _, height, width, channels = images.shape
    return int(max(1, PART_BYTES // (batch * height * width * channels)))


def decoded(images: ImageFiles, rows: NDArray[Any]) -> NDArray[Any]:
    """Return the images of batches `rows` [S, B], one after the other [S * B, H, W, C]."""
    return images[rows.reshape(-1)]


def prefetched(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """Yield what `make` returns for each of `items`, in order; a thread makes the next while one is in use."""
    threads = ThreadPoolExecutor(1)
    waiting: Future[Made] | None = None
    try:
        for item in items:
            following = threads.submit(make, item)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
