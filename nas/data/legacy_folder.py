"""Folders of images as release 0.1 read them, so that its runs go on with the same bytes (else: nas.data.folder).

Images were reduced to 64 px whatever the network's resolution, transparency was dropped, and a test set could be called
`test` or `val` only.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nas.data.dataset import Dataset, Images, Labelled, build_dataset
from nas.data.framing import open_image
from nas.errors import InvalidInput
from nas.files import check_names, read_bytes
from nas.ops import Size, SizeLike

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
DEFAULT_RESOLUTION_PX = 64


class Listing(NamedTuple):
    """The image files below one folder of class folders, their labels, and how many other files were left out."""

    files: list[Path]
    labels: list[int]
    left_out: int


def load_legacy_folder(folder: Path, resolution: SizeLike | None = None) -> Dataset:
    """Return the images below `folder`, each one's central part resized to `resolution` (64 px square by default).

    Without a test folder, a fixed stratified 20 % becomes the test set. Images are grey where every file is grey,
    colour otherwise; transparency is dropped. Raises `InvalidInput`, naming the file or folder at fault.
    """
    train_folder, test_folder = _find_parts(folder)
    names = _class_folders(train_folder)
    listings = [_list_images(train_folder, names)]
    if test_folder:
        listings.append(_list_images(test_folder, names))
    files = [file for listing in listings for file in listing.files]
    images = _read_images(files, Size.of(resolution or DEFAULT_RESOLUTION_PX))
    labels = np.array([label for listing in listings for label in listing.labels], dtype=np.int32)
    cut = len(listings[0].files)
    left_out = sum(listing.left_out for listing in listings)
    return build_dataset(
        str(folder),
        Labelled(images[:cut], labels[:cut]),
        Labelled(images[cut:], labels[cut:]) if test_folder else None,
        class_names=names,
        test_fraction=0.2,
        notes=(f"{left_out} files or folders among the images are no images and were left out",) * bool(left_out),
    )


def _find_parts(folder: Path) -> tuple[Path, Path | None]:
    """Return the folders of the training and the test classes, None for the latter where there is none.

    A folder `train` that holds images instead of class folders is itself a class.
    """
    train = folder / "train"
    if not train.is_dir() or not _subfolders(train):
        return folder, None
    return train, next((folder / part for part in ("test", "val") if (folder / part).is_dir()), None)


def _items(folder: Path) -> list[Path]:
    """Return the sorted paths in `folder`, hidden ones left out."""
    try:
        return check_names(sorted(item for item in folder.iterdir() if not item.name.startswith(".")))
    except OSError as error:
        raise InvalidInput(f"cannot read {folder}: {error.strerror or error}") from error


def _subfolders(folder: Path) -> tuple[str, ...]:
    """Return the names of the folders in `folder`."""
    return tuple(item.name for item in _items(folder) if item.is_dir())


def _class_folders(folder: Path) -> tuple[str, ...]:
    """Return the class names of the training `folder`."""
    names = _subfolders(folder)
    if len(names) < 2:
        raise InvalidInput(
            f"{folder} must hold two or more class folders of images ({folder}/<class>/<image>), got {len(names)}"
        )
    return names


def _list_images(folder: Path, names: tuple[str, ...]) -> Listing:
    """Return the images of all classes below `folder`, classes and files in sorted order."""
    listing, left_out = Listing([], [], 0), 0
    for name in _subfolders(folder):
        if name not in names:
            raise InvalidInput(f"{folder / name} is a class without training images; known: {', '.join(names)}")
        items = _items(folder / name)
        files = [item for item in items if item.suffix.lower() in SUFFIXES and item.is_file()]
        if not files:
            raise InvalidInput(f"{folder / name} holds no images ({', '.join(sorted(SUFFIXES))}); add or remove it")
        listing.files.extend(files)
        listing.labels.extend([names.index(name)] * len(files))
        left_out += len(items) - len(files)
    if not listing.files:
        raise InvalidInput(f"{folder} holds no class folders; add them, or remove it to have a test set split off")
    return listing._replace(left_out=left_out)


def _read_images(files: Sequence[Path], size: Size) -> Images:
    """Return the images in `files` as uint8 [N, height, width, C], C = 1 where all of them are grey."""
    images = np.empty((len(files), *size, 3), dtype=np.uint8)
    grey = True
    for index, file in enumerate(files):
        image, image_is_grey = _read_image(file, size)
        images[index] = image
        grey = grey and image_is_grey
    return images[..., :1] if grey else images


def _read_image(file: Path, size: Size) -> tuple[Images, bool]:
    """Return one image as uint8 [height, width, 3], upright, and whether it is grey."""
    from PIL import Image, ImageOps

    try:
        with open_image(BytesIO(read_bytes(file))) as image:
            mode = image.mode
            upright = ImageOps.exif_transpose(image).convert("RGB")
        framed = ImageOps.fit(upright, size[::-1], method=Image.Resampling.BILINEAR)
    except Exception as error:  # a decoder fails on broken bytes in any way, and each means the same to the user
        raise InvalidInput(f"cannot read the image {file}: {error}; repair or remove it") from error
    if mode[0] in "IF":
        raise InvalidInput(f"{file} has more than 8 bits per channel (mode {mode}); save it with 8")
    return np.asarray(framed, dtype=np.uint8), mode in ("1", "L", "LA")
