"""Data for search and training, images and other arrays: data sets by name or path, splits, batches, augmentation.

Nothing is ever downloaded and nothing is ever unpickled. Importing this package imports numpy at most; scikit-learn,
Pillow and jax are imported inside the functions that need them.
"""

import os
from dataclasses import replace
from pathlib import Path

from nas import registry
from nas.data.dataset import (
    Augmentation,
    Dataset,
    Labelled,
    build_dataset,
    split_for_search,
    take,
    validation_view,
    with_replays,
)
from nas.data.folder import load_folder
from nas.data.image_files import ImageFiles
from nas.data.input_spec import Framing
from nas.data.legacy_folder import load_legacy_folder
from nas.data.local import data_folder
from nas.data.npz import load_npz
from nas.data.pipeline import (
    at_resolution,
    augment,
    augmented_input,
    channel_stats,
    resize,
    resolution_notes,
    signature,
    to_input,
)
from nas.data.preparation import Preparation
from nas.data.reinforced import is_reinforced, read_reinforcement, read_replays, reinforcement_note
from nas.data.series import load_series
from nas.data.sound_folder import holds_sounds, load_sounds
from nas.data.split import epoch_indices, stratified_split
from nas.errors import InvalidInput, unknown_name
from nas.files import usable_path
from nas.ops import Size, SizeLike
from nas.registry import DATA_SETS

LARGEST_PX = 1024  # of a side that data are resized to when they are loaded
DEFAULT_PREPARATION = Preparation()  # centres are cropped, transparency laid on white, the rest is the data set's


def load(
    name_or_path: str,
    data_dir: Path | None = None,
    *,
    resolution: SizeLike | None = None,
    preparation: Preparation = DEFAULT_PREPARATION,
    proportions: SizeLike | None = None,
) -> Dataset:
    """Return the data set of a registered name, of an .npz file, a .csv of series, or a folder of class folders.

    A registered name wins over a path of the same spelling (write `./digits` for the path). Published files are looked
    up in `data_dir`, else in the folder that NAS_DATA_DIR names, else in ~/.cache/nas. `resolution` is the side in
    pixels, or "96x128", to resize all to; by default they stay as they are, and the images of a folder get the median
    of their own as a square, or in the `proportions` of the input that they are for.
    `preparation` says what the arrays are, how image files get the proportions of the input, and how training images
    are augmented and weighted. Raises
    `UnknownName` for a name that is neither registered nor a path, `InvalidInput` for data that cannot be used.
    """
    check_resolution(resolution)
    name_or_path = usable_path(name_or_path)
    if name_or_path in DATA_SETS or _is_address(name_or_path):
        loader = registry.load("data set", DATA_SETS, name_or_path)
        found = registry.made("data set", name_or_path, loader, data_folder(data_dir)) if callable(loader) else loader
        if not isinstance(found, Dataset):
            raise InvalidInput(
                f"the data set '{name_or_path}' must be a function that returns a Dataset, got {type(found).__name__}"
            )
        dataset = found if data_dir is None else replace(found, data_dir=os.path.abspath(data_folder(data_dir)))
    else:
        whole = None if proportions is None else Size.of(proportions)
        size = resolution or (None if whole is None or whole.is_square else whole)
        dataset = _load_path(name_or_path, size, preparation, data_dir)
    dataset = preparation.apply(dataset)
    return dataset if resolution is None else at_resolution(dataset, resolution)


def check_resolution(resolution: SizeLike | None) -> None:
    """Raise `InvalidInput` for a size that data are not resized to."""
    if isinstance(resolution, int) and not 1 <= resolution <= LARGEST_PX:
        raise InvalidInput(f"resolution must be from 1 to {LARGEST_PX} pixels, got {resolution}")
    if resolution is not None and _is_too_large(Size.of(resolution)):
        raise InvalidInput(f"resolution must be from 1 to {LARGEST_PX} on each side, got {Size.of(resolution)}")


def _is_too_large(size: Size) -> bool:
    """Return whether a side has more pixels than data are resized to; sequences may have as many steps as they have."""
    return max(size) > LARGEST_PX and not size.is_sequence


def _is_address(text: str) -> bool:
    """Return whether `text` is "module:attribute", a loader of somebody's own, and no path that exists."""
    return ":" in text and os.sep not in text and not os.path.exists(os.path.expanduser(text))


def _load_reinforced(folder: Path, preparation: Preparation, data_dir: Path | None) -> Dataset:
    """Return the reinforced data set in `folder`, whose images are those of the data set that it names.

    Image files are decoded as they were for the teacher: at its size, and framed alike.
    """
    about = read_reinforcement(folder)
    asked = preparation.framing
    if about.framing is not None and asked not in (None, DEFAULT_PREPARATION.framing, about.framing):
        raise InvalidInput(
            f"{folder} was made of image files with --fit {about.framing.fit} --background {about.framing.background}: "
            "leave --fit and --background out, or reinforce the images with others"
        )
    try:
        if about.framing is None:
            dataset = load(about.data, data_dir)
        else:
            prepared = Preparation(fit=about.framing.fit, background=about.framing.background)
            dataset = load(about.data, data_dir, resolution=Size.of(about.size), preparation=prepared)
    except (InvalidInput, LookupError) as error:
        raise InvalidInput(
            f"{folder} is of the images '{about.data}', which are not here ({error}); bring them there"
        ) from error
    if dataset.digest != about.data_digest:
        raise InvalidInput(f"the images '{about.data}' are not those that {folder} was made of; reinforce them again")
    return with_replays(dataset, read_replays(folder, about), reinforcement_note(about))


def _load_path(
    text: str, resolution: SizeLike | None, preparation: Preparation, data_dir: Path | None = None
) -> Dataset:
    """Return the data set in the file or folder `text`."""
    full = os.path.expanduser(text)  # os.path, unlike Path, answers for any text whatever, the empty one included
    path = Path(full)
    if os.path.isdir(full):
        if is_reinforced(path):
            return _load_reinforced(path, preparation, data_dir)
        if holds_sounds(path):
            return load_sounds(path, preparation.sample_rate, preparation.clip_seconds, preparation.group)
        framing = preparation.framing
        return load_legacy_folder(path, resolution) if framing is None else load_folder(path, resolution, framing)
    if path.suffix == ".npz":
        return load_npz(path, preparation.data_kind, preparation.group, preparation.task)
    if path.suffix == ".csv":
        return load_series(path, preparation.group)
    if os.path.exists(full):
        raise InvalidInput(
            f"{path} is neither an .npz file, a .csv of series nor a folder of class folders of images or .wav files"
        )
    raise unknown_name("data set", text, DATA_SETS)


__all__ = [
    "DATA_SETS",
    "Augmentation",
    "Dataset",
    "Framing",
    "ImageFiles",
    "Labelled",
    "Preparation",
    "at_resolution",
    "augment",
    "augmented_input",
    "build_dataset",
    "channel_stats",
    "epoch_indices",
    "load",
    "resize",
    "resolution_notes",
    "signature",
    "split_for_search",
    "stratified_split",
    "take",
    "to_input",
    "validation_view",
]
