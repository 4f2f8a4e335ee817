"""Data sets in folders of images: folder/<class>/<image>, with or without parts for training, validation and test.

A part is a folder above the class folders (folder/train/<class>/) or below them (folder/<class>/train/), in any common
spelling (`PARTS`). Every file that is not read is counted in the notes of the data set, by its kind.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from nas.data.dataset import Dataset, Labelled, build_dataset
from nas.data.image_files import ImageFile, ImageFiles, ImageStore, read_headers
from nas.data.input_spec import Framing
from nas.errors import InvalidInput
from nas.files import check_names
from nas.ops import Size, SizeLike

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
PARTS = {
    "train": ("train", "training"),
    "valid": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
PART_OF = {spelling: part for part, spellings in PARTS.items() for spelling in spellings}
LARGEST_DEFAULT_PX = 224  # of the resolution that a folder has before a network's is known
TEST_FRACTION = 0.2  # where no test images come with the folder


@dataclass(frozen=True)
class Layout:
    """Where the images of each part lie: (class, folder) pairs by part, and what else was found, by kind."""

    parts: dict[str, list[tuple[str, Path]]]
    left_out: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listed:
    """The image files of one part, each with its class."""

    files: list[Path]
    labels: list[int]


def load_folder(folder: Path, resolution: SizeLike | None = None, framing: Framing | None = None) -> Dataset:
    """Return the images below `folder`, which are decoded when they are asked for, at the resolution that is asked for.

    `framing` says how they get its proportions: by default the centre is cropped, and transparency laid on white.
    Their own resolution, before a network's is known, is `resolution` or the median of theirs as a square, at most
    `LARGEST_DEFAULT_PX`.
    Without test images, a fixed stratified 20 % becomes the test set. Images are grey where every file is. Raises
    `InvalidInput`, naming the file or folder at fault.
    """
    framing = framing or Framing()
    layout = find_layout(folder)
    names = tuple(dict.fromkeys(name for name, _ in layout.parts["train"]))
    train = _list_images(layout, "train", names)
    test = _list_images(layout, "test", names) if "test" in layout.parts else Listed([], [])
    files = read_headers([*train.files, *test.files])
    size = Size.of(resolution or _own_resolution(files, framing))
    store = ImageStore(files, size, _channels(files), framing)
    cut, rows = len(train.files), np.arange(len(files), dtype=np.int32)
    dataset = build_dataset(
        str(folder),
        Labelled(ImageFiles(store, rows[:cut]), np.array(train.labels, dtype=np.int32)),
        Labelled(ImageFiles(store, rows[cut:]), np.array(test.labels, dtype=np.int32)) if test.files else None,
        class_names=names,
        test_fraction=TEST_FRACTION,
        notes=(*layout.notes, *_left_out_note(layout.left_out), *file_notes(files, framing, size)),
        digest=_digest(folder, files, [*train.labels, *test.labels], cut, framing),
    )
    return replace(dataset, notes=(*dataset.notes, *copies_notes(dataset)))


# ----------------------------------------------------------------------------------------------- which folder is what


def find_layout(folder: Path) -> Layout:
    """Return where the images of each part of the data set in `folder` lie.

    A folder `train` that holds images instead of class folders is itself a class.
    """
    left_out = Counter[str]()
    names = _subfolders(folder, left_out)
    if any(PART_OF.get(name.lower()) == "train" and _subfolders(folder / name) for name in names):
        return _parts_above(folder, names, left_out)
    if any(PART_OF.get(name.lower()) and _subfolders(folder / name) for name in names):
        raise InvalidInput(f"{folder} has {' and '.join(names)}, but no folder 'train' of class folders beside; add it")
    if len(names) >= 2 and all(_is_parted(folder / name) for name in names):
        return _parts_below(folder, names, left_out)
    return _with_classes(folder, {"train": [(name, folder / name) for name in names]}, left_out)


def _parts_above(folder: Path, names: Sequence[str], left_out: Counter[str]) -> Layout:
    """Return the layout of folder/<part>/<class>/."""
    found = _by_part(folder, names)
    parts = {part: [(one, path / one) for one in _subfolders(path, left_out)] for part, path in found.items()}
    for part, classes in parts.items():
        if not classes:
            raise InvalidInput(
                f"{found[part]} holds no class folders; add them, or remove it to have a test set split off"
            )
    return _with_classes(found["train"], parts, left_out, {part: path.name for part, path in found.items()})


def _parts_below(folder: Path, names: Sequence[str], left_out: Counter[str]) -> Layout:
    """Return the layout of folder/<class>/<part>/."""
    parts: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    spelled = {}
    for name in names:
        for part, path in _by_part(folder / name, _subfolders(folder / name, left_out)).items():
            parts[part].append((name, path))
            spelled[part] = path.name
    return _with_classes(folder, parts, left_out, spelled)


def _is_parted(folder: Path) -> bool:
    """Return whether a class folder holds its images in one folder per part."""
    return any(PART_OF.get(name.lower()) == "train" for name in _subfolders(folder))


def _by_part(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return the folder of each part in `folder`, whose folders are `names`; `InvalidInput` for any other folder."""
    found: dict[str, Path] = {}
    for name in names:
        part = PART_OF.get(name.lower())
        if part is None:
            known = "; ".join(", ".join(spellings) for spellings in PARTS.values())
            raise InvalidInput(
                f"{folder / name} lies beside training images and is none of the parts that are read ({known}); "
                "rename it to one of them, or move it away"
            )
        if part in found:
            raise InvalidInput(f"{found[part]} and {folder / name} are the same part; put their images into one")
        found[part] = folder / name
    return found


def _with_classes(
    train: Path,
    parts: dict[str, list[tuple[str, Path]]],
    left_out: Counter[str],
    spelled: dict[str, str] | None = None,
) -> Layout:
    """Return the layout with validation images assigned: to the test set where there is none, else to training."""
    if len(parts.get("train", ())) < 2:
        inner = f"; if the data set lies in {parts['train'][0][1]}, name that" if parts.get("train") else ""
        raise InvalidInput(
            f"{train} must hold two or more class folders of images ({train}/<class>/<image>), "
            f"got {len(parts.get('train', ()))}{inner}"
        )
    valid, name = parts.pop("valid", None), (spelled or {}).get("valid")
    if valid is None:
        return Layout(parts, left_out)
    if "test" not in parts:
        return Layout(parts | {"test": valid}, left_out, (f"the test images are those in '{name}'",))
    note = (
        f"the images in '{name}' join the training images, from which a search takes its validation set; the test "
        f"images are those in '{(spelled or {})['test']}'"
    )
    return Layout({"train": parts["train"] + valid, "test": parts["test"]}, left_out, (note,))


def _items(folder: Path) -> list[Path]:
    """Return the sorted paths in `folder`."""
    try:
        return check_names(sorted(folder.iterdir()))
    except OSError as error:
        raise InvalidInput(f"cannot read {folder}: {error.strerror or error}") from error


def _hidden(item: Path) -> bool:
    """Return whether a path is hidden, or of those that macOS puts into archives."""
    return item.name.startswith(".") or item.name == "__MACOSX"


def _subfolders(folder: Path, left_out: Counter[str] | None = None) -> tuple[str, ...]:
    """Return the names of the folders in `folder`; everything else is counted in `left_out`."""
    items = _items(folder)
    found = tuple(item.name for item in items if item.is_dir() and not _hidden(item))
    if left_out is not None:
        left_out.update(_kind(item) for item in items if item.name not in found)
    return found


def _list_images(layout: Layout, part: str, names: tuple[str, ...]) -> Listed:
    """Return the images of a part, classes and files in sorted order; what is no image is counted in the layout."""
    listed = Listed([], [])
    for name, folder in layout.parts[part]:
        if name not in names:
            raise InvalidInput(f"{folder} is a class without training images; known: {', '.join(names)}")
        items = _items(folder)
        files = [item for item in items if item.suffix.lower() in SUFFIXES and item.is_file() and not _hidden(item)]
        if not files:
            raise InvalidInput(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}); add or remove it")
        listed.files.extend(files)
        listed.labels.extend([names.index(name)] * len(files))
        read = set(files)
        layout.left_out.update(_kind(item) for item in items if item not in read)
    return listed


# -------------------------------------------------------------------------------------------------- notes on the data


def _kind(item: Path) -> str:
    """Return the kind of a path that is not read, for the count of it."""
    if _hidden(item):
        return "hidden"
    return "folder" if item.is_dir() else item.suffix.lower() or "without an ending"


def _left_out_note(left_out: Counter[str]) -> Iterator[str]:
    """Yield the note on what was not read."""
    if left_out:
        counted = sorted(left_out.items(), key=lambda one: (-one[1], one[0]))
        plural = {"folder": "folders"}
        kinds = (f"{count:,} {plural.get(kind, kind) if count > 1 else kind}" for kind, count in counted)
        yield "left out: " + ", ".join(kinds)


def file_notes(files: Sequence[ImageFile], framing: Framing, size: Size) -> Iterator[str]:
    """Yield notes on image files as they are framed for an input of `size`: what is cropped, and transparency."""
    sides = [(file.height, file.width) for file in files]
    oblong = Counter(one for one in sides if one[0] * size.width != one[1] * size.height)
    if oblong and framing.fit == "crop":
        (height, width), _ = oblong.most_common(1)[0]
        sizes = f"of {height} x {width} px" + (f" and {len(oblong) - 1:,} other sizes" if len(oblong) > 1 else "")
        part = "central square" if size.is_square else f"central part with the proportions of {size}"
        yield (
            f"the {part} of images {sizes} (height x width) was taken, {oblong.total():,} of {len(files):,} "
            "images; --fit pad or --fit squash keeps what lies beside it"
        )
    if transparent := sum(file.transparent for file in files):
        shade = {0: "black", 255: "white"}.get(framing.background, f"grey level {framing.background}")
        yield f"transparent pixels of {transparent:,} images were laid on {shade} (--background)"


def copies_notes(dataset: Dataset) -> Iterator[str]:
    """Yield notes on files of equal content: in training and test set, and under different classes."""
    train, test = dataset.x_train, dataset.x_test
    assert isinstance(train, ImageFiles) and isinstance(test, ImageFiles)
    known = {file.sha256: file for file in train.files()}
    shared = [file for file in test.files() if file.sha256 in known]
    if shared:
        yield (
            f"{len(shared):,} of {len(test):,} test images are training images too, such as {shared[0].path} and "
            f"{known[shared[0].sha256].path}: the test accuracy flatters"
        )
    classes: dict[bytes, set[int]] = defaultdict(set)
    labelled = [*zip(train.files(), dataset.y_train, strict=True), *zip(test.files(), dataset.y_test, strict=True)]
    for file, label in labelled:
        classes[file.sha256].add(int(label))
    if torn := [(file, label) for file, label in labelled if len(classes[file.sha256]) > 1]:
        file, _ = torn[0]
        names = " and ".join(f"'{dataset.class_names[label]}'" for label in sorted(classes[file.sha256]))
        yield f"{len(torn):,} images lie in several classes, such as {file.path} in {names}"


# ------------------------------------------------------------------------------------------------- what the files are


def _channels(files: Sequence[ImageFile]) -> int:
    """Return 1 where all files are grey, else 3."""
    return 1 if all(file.grey for file in files) else 3


def _own_resolution(files: Sequence[ImageFile], framing: Framing) -> int:
    """Return the median of the images' resolutions in px, at most `LARGEST_DEFAULT_PX`."""
    return min(LARGEST_DEFAULT_PX, int(np.median([file.detail_px(framing) for file in files])))


def _digest(folder: Path, files: Sequence[ImageFile], labels: Sequence[int], cut: int, framing: Framing) -> str:
    """Return the SHA-256 over names, labels, parts and contents of the files and their framing, wherever they lie."""
    digest = sha256(f"{framing.fit} {framing.background} {cut}\n".encode())
    for file, label in zip(files, labels, strict=True):
        digest.update(f"{label} {file.path.relative_to(folder).as_posix()}\n".encode() + file.sha256)
    return digest.hexdigest()
