"""The data sets that are known by name: every form they are taken in, and what is said of all others."""

import gzip
import io
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from nas.data import DATA_SETS, Augmentation, channel_stats, load
from nas.data.cifar10 import BIN_NAMES, parse_records, parse_tar
from nas.data.fashion_mnist import OFFICIAL_MD5, parse_idx
from nas.errors import InvalidInput, UnknownName
from tests.support.data_sets import arrays, save, small

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "datasets"
needs_published = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="no folder of published data sets beside the project"
)


def test_digits_are_the_published_ones_split_once_and_for_all() -> None:
    digits = load("digits")
    assert digits.x_train.shape == (1437, 8, 8, 1) and digits.x_test.shape == (360, 8, 8, 1)
    assert digits.x_train.dtype == np.uint8 and digits.y_train.dtype == np.int32
    assert (digits.num_classes, digits.resolution, digits.channels, digits.notes) == (10, 8, 1, ())
    assert digits.x_train.max() == 255 and digits.x_train.min() == 0
    assert digits.augmentation == Augmentation(shift_px_fraction=0.125, flip=False)
    assert digits.digest == "c5c7dc1ba1d8cc4be604f41ce61bde478b7e7946c77aceb2744d09860f3fdc3c"
    counts = np.bincount(digits.y_train) + np.bincount(digits.y_test)
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # scikit-learn's load_digits
    assert np.bincount(digits.y_test).min() >= 34


def test_arrays_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        small().x_train[0] = 0


@needs_published
def test_fashion_mnist_from_the_known_npz() -> None:
    fashion = load("fashion-mnist", PUBLISHED)
    assert fashion.x_train.shape == (60000, 28, 28, 1) and fashion.x_test.shape == (10000, 28, 28, 1)
    assert fashion.notes == () and fashion.augmentation.flip and fashion.class_names[9] == "Ankle boot"
    assert np.bincount(fashion.y_train).tolist() == [6000] * 10
    mean, std = channel_stats(fashion)
    np.testing.assert_allclose([mean[0], std[0]], [0.2860, 0.3530], atol=1e-4)  # the values commonly quoted for it


@needs_published
def test_cifar10_from_npz_parts_says_what_they_are() -> None:
    cifar = load("cifar10", PUBLISHED)
    assert cifar.x_train.shape == (20000, 32, 32, 3) and cifar.x_test.shape == (10000, 32, 32, 3)
    assert "JPEG" in cifar.notes[0] and "20,000 of CIFAR-10's 50,000" in cifar.notes[1] and len(cifar.notes) == 2


@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist"])
def test_missing_files_say_what_to_put_where(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DATA_DIR", str(tmp_path / "mine"))
    with pytest.raises(InvalidInput, match=r"is not in .*/mine: put .*\.npz.*nothing is downloaded"):
        load(name)
    monkeypatch.delenv("NAS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"\.cache/nas"):
        load(name)
    with pytest.raises(InvalidInput, match="elsewhere"):
        load(name, tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["fashion_mnist.npz", "fashion-mnist.npz"])
def test_fashion_mnist_npz_of_unknown_digest_is_noted(name: str, tmp_path: Path) -> None:
    save(tmp_path, arrays(classes=10), name)
    assert "is not a file this project knows" in load("fashion-mnist", tmp_path).notes[0]


def test_fashion_mnist_files_of_other_content_are_refused(tmp_path: Path) -> None:
    for name in list(OFFICIAL_MD5)[1:]:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InvalidInput, match=r"put fashion_mnist\.npz or the official train-images-idx3-ubyte\.gz there"):
        load("fashion-mnist", tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"x")
    with pytest.raises(InvalidInput, match=r"train-images.* must have the published MD5 8d4fb7e6\w+, got 9dd4e461"):
        load("fashion-mnist", tmp_path)


def test_cifar10_from_one_npz_or_parts(tmp_path: Path) -> None:
    values = arrays(classes=10, side=32, channels=3)
    train = {key: values[key] for key in ("x_train", "y_train")}
    save(tmp_path, train, "cifar10_train1.npz")
    with pytest.raises(InvalidInput, match=r"put cifar10_train0\.npz, cifar10_test\.npz .*there"):
        load("cifar10", tmp_path)
    save(tmp_path, train, "cifar10_train0.npz")
    save(tmp_path, {key: values[key] for key in ("x_test", "y_test")}, "cifar10_test.npz")
    parts = load("cifar10", tmp_path)
    assert parts.x_train.shape == (80, 32, 32, 3) and parts.class_names[0] == "airplane" and parts.augmentation.flip
    assert "not known to this project" in parts.notes[0] and "80 of CIFAR-10's 50,000" in parts.notes[1]
    save(tmp_path, values, "cifar10.npz")
    assert load("cifar10", tmp_path).x_train.shape == (40, 32, 32, 3)


def test_cifar10_parts_that_do_not_fit(tmp_path: Path) -> None:
    save(tmp_path, arrays(classes=10, side=32), "cifar10_train0.npz")
    save(tmp_path, arrays(classes=10, side=28), "cifar10_train1.npz")
    save(tmp_path, arrays(classes=10, side=32), "cifar10_test.npz")
    with pytest.raises(InvalidInput, match="do not fit together"):
        load("cifar10", tmp_path)


def test_cifar10_python_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="the python version found there is pickled"):
        load("cifar10", tmp_path)


def test_cifar10_archive_of_other_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"x")
    with pytest.raises(InvalidInput, match=r"cifar-10-binary\.tar\.gz must have the published MD5 c32a1d4a"):
        load("cifar10", tmp_path)


def cifar_batch(count: int = 20) -> tuple[bytes, np.ndarray]:
    """Return one binary batch of `count` images and the images [count, 32, 32, 3]."""
    x = np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return b"".join(bytes([i % 10]) + image.transpose(2, 0, 1).tobytes() for i, image in enumerate(x)), x


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_cifar10_extracted(below: str, tmp_path: Path) -> None:
    data, x = cifar_batch()
    (tmp_path / below).mkdir(exist_ok=True)
    for name in BIN_NAMES:
        (tmp_path / below / name).write_bytes(data)
    cifar = load("cifar10", tmp_path)
    assert cifar.x_train.shape == (100, 32, 32, 3) and "no published digest" in cifar.notes[0]
    np.testing.assert_array_equal(cifar.x_test, x)
    (tmp_path / below / BIN_NAMES[3]).unlink()
    with pytest.raises(InvalidInput, match=r"cannot read .*data_batch_4\.bin"):
        load("cifar10", tmp_path)


def test_cifar10_archive_is_parsed() -> None:
    data, x = cifar_batch()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in BIN_NAMES:
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    train, test = parse_tar(buffer.getvalue(), "here")
    assert train.x.shape == (100, 32, 32, 3)
    np.testing.assert_array_equal(test.x, x)
    np.testing.assert_array_equal(test.y, np.arange(20) % 10)
    for broken in (b"x", buffer.getvalue()[:-2000], gzip.compress(b"x" * 2000, mtime=0)):
        with pytest.raises(InvalidInput, match=r"^here is not CIFAR-10's binary archive"):
            parse_tar(broken, "here")
    with pytest.raises(InvalidInput, match="whole records of 3073 bytes, got 61459 bytes"):
        parse_records(data[:-1], "here")


def test_idx_is_parsed() -> None:
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    raw = struct.pack(">HBB3I", 0, 8, 3, *x.shape) + x.tobytes()
    np.testing.assert_array_equal(parse_idx(gzip.compress(raw, mtime=0), "here"), x)


@pytest.mark.parametrize(
    "data",
    [
        b"plain",
        gzip.compress(b"\0", mtime=0),
        gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 2, 3, 4) + bytes(23), mtime=0),
        gzip.compress(struct.pack(">HBBI", 0, 13, 1, 4) + bytes(4), mtime=0),
        gzip.compress(struct.pack(">HBBI", 0, 8, 3, 4), mtime=0),
        gzip.compress(bytes(100), mtime=0)[:-9],
    ],
)
def test_broken_idx_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^here is not "):
        parse_idx(data, "here")


# --- names and paths ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("digit", "did you mean 'digits'"),
        ("fashion_mnist", "did you mean 'fashion-mnist'"),
        ("", "known: cifar10"),
        ("x" * 200, "known"),
    ],
)
def test_unknown_name(name: str, hint: str) -> None:
    with pytest.raises(UnknownName, match=f"^unknown data set '{name}'; {hint}"):
        load(name)


def test_paths_that_are_no_data(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"cannot read .*none\.npz: No such file"):
        load(str(tmp_path / "none.npz"))
    (tmp_path / "set.txt").write_text("1,2")
    with pytest.raises(InvalidInput, match=r"is neither an \.npz file"):
        load(str(tmp_path / "set.txt"))


@pytest.mark.parametrize("resolution", [0, -1, 2000])
def test_resolution_out_of_range(resolution: int) -> None:
    with pytest.raises(InvalidInput, match=f"from 1 to 1024 pixels, got {resolution}"):
        load("digits", resolution=resolution)


@pytest.mark.parametrize("name", DATA_SETS)
def test_importing_and_listing_is_cheap(name: str) -> None:
    code = "import sys, nas.data; print([m for m in ('jax', 'sklearn', 'PIL', 'pandas') if m in sys.modules])"
    if name == "digits":
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
    assert DATA_SETS[name].count(":") == 1
