"""Images in files, decoded when they are asked for, at the resolution that a network takes.

`ImageFiles` stands where an array of images would: it has a length and a shape, and rows give uint8 pixels. Where all
images of a data set take at most `KEPT_BYTES` at that resolution, they are decoded once and kept; larger sets are
decoded anew whenever rows are asked for.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nas.data.framing import GREY_MODES, open_image, read_image
from nas.data.input_spec import Framing
from nas.errors import InvalidInput
from nas.files import read_bytes
from nas.ops import Size
from nas.progress.stop import raise_if_stopped

KEPT_BYTES = 1 << 30  # of decoded images
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """What the header of an image file says, and the SHA-256 of its content."""

    path: Path
    height: int  # px, as stored
    width: int
    grey: bool
    transparent: bool
    sha256: bytes

    def detail_px(self, framing: Framing) -> int:
        """Return the side of the square, in px, up to which the image has pixels to fill it."""
        return max(self.height, self.width) if framing.fit == "pad" else min(self.height, self.width)

    def lacks_detail(self, size: Size, framing: Framing) -> bool:
        """Return whether the image has to be enlarged to fill an input of this size."""
        sides = self.height / size.height, self.width / size.width
        return (max(sides) if framing.fit == "pad" else min(sides)) < 1


def read_header(path: Path) -> ImageFile:
    """Return what the image file `path` holds, its pixels not decoded; `InvalidInput` names a file that is damaged."""
    try:
        content = read_bytes(path)
        with open_image(BytesIO(content)) as image:
            mode, (width, height), transparent = image.mode, image.size, image.has_transparency_data
            cut = image.format == "JPEG" and b"\xff\xd9" not in content  # the mark of its end
            if cut:
                image.load()
            else:
                image.verify()  # checksums, where the format has them
    except Exception as error:  # a decoder fails on broken bytes in any way, and each means the same to the user
        raise InvalidInput(f"cannot read the image {path}: {error}; repair or remove it") from error
    if mode[0] in "IF":
        raise InvalidInput(f"{path} has more than 8 bits per channel (mode {mode}); save it with 8")
    return ImageFile(path, height, width, mode in GREY_MODES, transparent, sha256(content).digest())


def read_headers(paths: Sequence[Path]) -> tuple[ImageFile, ...]:
    """Return what each of the image files holds, in order; the first that is damaged is named."""
    return tuple(_in_threads(read_header, paths))


def _in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
    """Yield the function of each item in order, computed in as many threads as there are CPUs."""
    threads = ThreadPoolExecutor(os.cpu_count())  # Pillow and hashlib release Python's lock
    try:
        for result in threads.map(function, items):
            raise_if_stopped()
            yield result
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, eq=False)
class ImageStore:
    """Image files, and what each of them becomes: height and width, channels, and how it is framed."""

    files: tuple[ImageFile, ...]
    size: Size
    channels: int
    framing: Framing

    @property
    def nbytes(self) -> int:
        """The bytes of all images decoded."""
        return len(self.files) * self.size.positions * self.channels

    @property
    def kept(self) -> bool:
        """Whether decoded images are kept."""
        return self.nbytes <= KEPT_BYTES

    @cached_property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """All images decoded [N, height, width, channels]."""
        decoded = self.decode(np.arange(len(self.files)))
        decoded.setflags(write=False)
        return decoded

    def decode(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return the images `rows` [B], decoded from their files, as uint8 [B, height, width, channels]."""
        images = np.empty((len(rows), *self.size, self.channels), dtype=np.uint8)

        def decode_into(index: int) -> None:
            path = self.files[rows[index]].path
            images[index] = read_image(path, self.size, self.channels, self.framing)

        for _ in _in_threads(decode_into, range(len(rows))):
            pass
        return images

    def resolved(self) -> "ImageStore":
        """Return the same files by their absolute paths, for a process that works in another folder."""
        return replace(self, files=tuple(replace(file, path=file.path.resolve()) for file in self.files))

    def at_size(self, size: Size) -> "ImageStore":
        """Return the same files at another resolution."""
        return self if size == self.size else replace(self, size=size)


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Rows of an `ImageStore` in place of an array of images [N, height, width, channels]."""

    store: ImageStore
    rows: npt.NDArray[np.int32]  # [N], into the files of the store

    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the array that this stands for."""
        return len(self.rows), *self.store.size, self.store.channels

    @property
    def nbytes(self) -> int:
        """The bytes of these images decoded."""
        return len(self.rows) * self.store.size.positions * self.store.channels

    @property
    def kept(self) -> bool:
        """Whether the images are kept in memory once they are decoded."""
        return self.store.kept

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> npt.NDArray[np.uint8]:
        """Return the pixels of a row, a slice or an array of rows; further indices are those of the array."""
        if isinstance(index, tuple):
            if index[0] is Ellipsis:
                return self[:][index]
            images = self[index[0]]
            return images[(slice(None), *index[1:]) if images.ndim == 4 else index[1:]]
        rows = self.rows[index]
        if self.kept:
            return self.store.pixels[rows]
        decoded = self.store.decode(np.atleast_1d(rows))
        return decoded if np.ndim(rows) else decoded[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return all images as one array."""
        return self[:].astype(dtype or np.uint8, copy=False)

    def decoded(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return the pixels of some rows, only these decoded, where those of all are not needed."""
        return self.store.decode(self.rows[rows])

    def take(self, rows: npt.NDArray[Any]) -> "ImageFiles":
        """Return a selection, nothing of it decoded."""
        return ImageFiles(self.store, self.rows[rows])

    def files(self) -> list[ImageFile]:
        """Return the files, in the order of the rows."""
        return [self.store.files[row] for row in self.rows]

    def min(self) -> int:
        """Return the smallest pixel value."""
        return int(np.asarray(self).min())

    def max(self) -> int:
        """Return the largest pixel value."""
        return int(np.asarray(self).max())

    def __reduce__(self) -> Any:
        """Pickle small sets as pixels, so that a worker on another machine needs no files; larger ones as paths."""
        return (np.array, (np.asarray(self),)) if self.kept else (ImageFiles, (self.store.resolved(), self.rows))
