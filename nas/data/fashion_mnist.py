"""Fashion-MNIST: 60,000 training and 10,000 test images of ten classes of clothes, 28 x 28 pixels in grey.

Xiao, Rasul and Vollgraf, 2017, https://arxiv.org/abs/1708.07747; files, licence (MIT) and the MD5 sums below:
https://github.com/zalandoresearch/fashion-mnist#get-the-data
"""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np

from nas.data.dataset import Array, Augmentation, Dataset, Labelled, build_dataset
from nas.data.local import missing, read_published
from nas.data.npz import read_archive
from nas.errors import InvalidInput

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
NPZ_NAMES = ("fashion_mnist.npz", "fashion-mnist.npz")
# The npz that this project's experiments used, with the official images bit for bit.
NPZ_SHA256 = "5b6d2c4c694a91887af8ab7d039c04f80af3c29378d731c93a538d2e831aa469"
OFFICIAL_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}


def load_fashion_mnist(folder: Path) -> Dataset:
    """Return Fashion-MNIST from an npz or from the four official files in `folder`."""
    npz = next((folder / name for name in NPZ_NAMES if (folder / name).is_file()), None)
    notes: tuple[str, ...] = ()
    if npz:
        archive = read_archive(npz)
        train, test = archive.labelled("train"), archive.labelled("test")
        if archive.sha256 != NPZ_SHA256:
            notes = (f"{npz.name} (SHA-256 {archive.sha256}) is not a file this project knows; taken as it is",)
    else:
        train, test = _read_official(folder)
    return build_dataset(
        "fashion-mnist", train, test, class_names=CLASS_NAMES, augmentation=Augmentation(flip=True), notes=notes
    )


def _read_official(folder: Path) -> tuple[Labelled, Labelled]:
    """Return (train, test) from the four official files, each checked against its published MD5."""
    absent = [name for name in OFFICIAL_MD5 if not (folder / name).is_file()]
    if absent:
        raise missing("Fashion-MNIST", folder, f"{NPZ_NAMES[0]} or the official {', '.join(absent)}")
    x, y, x_test, y_test = (
        parse_idx(read_published(folder / name, md5), str(folder / name)) for name, md5 in OFFICIAL_MD5.items()
    )
    return Labelled(x, y), Labelled(x_test, y_test)


def parse_idx(data: bytes, source: str) -> Array:
    """Return the uint8 array in gzipped IDX `data`; `InvalidInput` begins with `source` where it is none.

    IDX: two zero bytes, the type (8 = unsigned byte), the rank, each length as 4 bytes big-endian, the values.
    """
    try:
        raw = gzip.decompress(data)
        zeros, kind, rank = struct.unpack_from(">HBB", raw)
        shape = struct.unpack_from(f">{rank}I", raw, 4)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise InvalidInput(f"{source} is not a gzipped IDX file: {error}") from error
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    if (zeros, kind) != (0, 8) or values.size != prod(shape):
        raise InvalidInput(f"{source} is not an IDX file of bytes: type {kind}, shape {shape}, {values.size} values")
    return values.reshape(shape)
