"""CIFAR-10: 50,000 training and 10,000 test images of ten classes, 32 x 32 pixels in colour.

Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/cifar.html, which publishes the MD5 below and the binary format.
"""

import io
import re
import tarfile
import zlib
from pathlib import Path

import numpy as np

from nas.data.dataset import Augmentation, Dataset, Labelled, build_dataset
from nas.data.local import missing, read_published
from nas.data.npz import Archive, read_archive
from nas.errors import InvalidInput
from nas.files import read_bytes

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_IMAGES = 50_000
TAR_NAME, TAR_MD5 = "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"
BIN_FOLDER = "cifar-10-batches-bin"
BIN_NAMES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
SIDE_PX = 32
# The npz files that this project's experiments used, by SHA-256: cifar10_train0, cifar10_train1, cifar10_test.
REENCODED_SHA256 = frozenset(
    {
        "836f78f9e2937557f35a0cc4af3818364d6c2dda9e89dfc54ec7f613f75482a2",
        "70494024892f0ee3deb2ae58cb7292fbe6628345dbf54139f06eb03af8a856da",
        "107a12884a130c2b3daca69b6218ef55ae14fe6aa7d28679a3a5a2b096a8d1a9",
    }
)
REENCODED_NOTE = "these files are a JPEG re-encoding of CIFAR-10: never quote results on them as exact CIFAR-10"


def load_cifar10(folder: Path) -> Dataset:
    """Return CIFAR-10 from npz files, from the official binary archive, or from its extracted files in `folder`."""
    train, test, notes = _read_npz(folder) or _read_tar(folder) or _read_extracted(folder)
    if len(train.y) != TRAIN_IMAGES:
        notes += (f"these are {len(train.y):,} of CIFAR-10's {TRAIN_IMAGES:,} training images",)
    return build_dataset(
        "cifar10", train, test, class_names=CLASS_NAMES, augmentation=Augmentation(flip=True), notes=notes
    )


Parts = tuple[Labelled, Labelled, tuple[str, ...]]  # train, test, notes


def _read_npz(folder: Path) -> Parts | None:
    """Return the parts from cifar10.npz, or from cifar10_train0.npz, cifar10_train1.npz, ... and cifar10_test.npz."""
    if (folder / "cifar10.npz").is_file():
        whole = read_archive(folder / "cifar10.npz")
        return whole.labelled("train"), whole.labelled("test"), _npz_notes([whole])
    numbers = sorted(
        int(match[1]) for path in folder.glob("*.npz") if (match := re.fullmatch(r"cifar10_train(\d+)\.npz", path.name))
    )
    if not numbers:
        return None
    absent = [f"cifar10_train{number}.npz" for number in range(numbers[-1]) if number not in numbers]
    absent += ["cifar10_test.npz"] * (not (folder / "cifar10_test.npz").is_file())
    if absent:
        raise missing("CIFAR-10", folder, f"{', '.join(absent)} (other parts of it are there)")
    pieces = [read_archive(folder / f"cifar10_train{number}.npz") for number in numbers]
    test = read_archive(folder / "cifar10_test.npz")
    return _join([piece.labelled("train") for piece in pieces]), test.labelled("test"), _npz_notes([*pieces, test])


def _npz_notes(archives: list[Archive]) -> tuple[str, ...]:
    """Return the notes on the origin of the `archives`, by their SHA-256."""
    unknown = [archive.path.name for archive in archives if archive.sha256 not in REENCODED_SHA256]
    notes = [f"{', '.join(unknown)}: not known to this project by SHA-256; taken as it is"] if unknown else []
    return (*notes, REENCODED_NOTE) if len(unknown) < len(archives) else tuple(notes)


def _read_tar(folder: Path) -> Parts | None:
    """Return the parts from the official binary archive, checked against its published MD5."""
    path = folder / TAR_NAME
    return (*parse_tar(read_published(path, TAR_MD5), str(path)), ()) if path.is_file() else None


def parse_tar(data: bytes, source: str) -> tuple[Labelled, Labelled]:
    """Return (train, test) from the bytes of the binary archive; `InvalidInput` begins with `source`."""
    pieces = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for name in BIN_NAMES:
                member = archive.extractfile(f"{BIN_FOLDER}/{name}")
                pieces.append(parse_records(member.read() if member else b"", f"{source}: {name}"))
    except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{source} is not CIFAR-10's binary archive: {error}") from error
    return _join(pieces[:-1]), pieces[-1]


def _read_extracted(folder: Path) -> Parts:
    """Return the parts from data_batch_1.bin and its like, in `folder` or in the subfolder the archive unpacks to."""
    home = next((place for place in (folder, folder / BIN_FOLDER) if (place / BIN_NAMES[0]).is_file()), None)
    if home is None:
        requested = f"{TAR_NAME} (the binary version), its extracted {BIN_NAMES[0]} and so on, or cifar10.npz"
        if any((folder / name).exists() for name in ("cifar-10-python.tar.gz", "cifar-10-batches-py")):
            requested += " (the python version found there is pickled, and nothing is ever unpickled)"
        raise missing("CIFAR-10", folder, requested)
    pieces = [parse_records(read_bytes(home / name), str(home / name)) for name in BIN_NAMES]
    return _join(pieces[:-1]), pieces[-1], ("the extracted .bin files have no published digest: taken as they are",)


def parse_records(data: bytes, source: str) -> Labelled:
    """Return the images of one binary batch: records of 1 label byte and 3 x 32 x 32 pixel bytes, red plane first."""
    record_bytes = 1 + 3 * SIDE_PX**2
    if not data or len(data) % record_bytes:
        raise InvalidInput(f"{source} must hold whole records of {record_bytes} bytes, got {len(data)} bytes")
    records = np.frombuffer(data, np.uint8).reshape(-1, record_bytes)
    return Labelled(records[:, 1:].reshape(-1, 3, SIDE_PX, SIDE_PX).transpose(0, 2, 3, 1), records[:, 0])


def _join(pieces: list[Labelled]) -> Labelled:
    """Return the `pieces` of the training set joined."""
    try:
        return Labelled(np.concatenate([piece.x for piece in pieces]), np.concatenate([piece.y for piece in pieces]))
    except ValueError as error:
        raise InvalidInput(f"the parts of CIFAR-10's training set do not fit together: {error}") from error
