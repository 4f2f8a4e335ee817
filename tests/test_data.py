"""Tests of nas.data: every way in, every refusal, and the laws of splits, batches and the pictures' way to the step."""

import contextlib
import gzip
import io
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nas.data import (
    DATA_SETS,
    Augmentation,
    Dataset,
    Labelled,
    at_resolution,
    augment,
    build_dataset,
    channel_stats,
    epoch_indices,
    load,
    resize,
    split_for_search,
    stratified_split,
    to_input,
)
from nas.data.cifar10 import BIN_NAMES, parse_records, parse_tar
from nas.data.fashion_mnist import OFFICIAL_MD5, parse_idx
from nas.errors import InvalidInput, UnknownName

PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "datasets"
needs_published = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="no folder of published data sets beside the project"
)


def arrays(per_class: int = 4, classes: int = 3, side: int = 6, channels: int = 1) -> dict[str, Any]:
    """Return the four arrays of a small data set with random pixels."""
    rng = np.random.default_rng(0)
    y = np.tile(np.arange(classes), per_class)
    x = rng.integers(0, 256, (len(y), side, side, channels), dtype=np.uint8)
    return {"x_train": x, "y_train": y, "x_test": x[:classes], "y_test": y[:classes]}


def save(folder: Path, values: dict[str, Any], name: str = "set.npz") -> str:
    """Write `values` as an .npz file (objects pickled, to see them refused) and return its path."""
    path = folder / name
    np.savez(path, **values)
    return str(path)


def small(**changes: Any) -> Dataset:
    """Return a small data set."""
    values = arrays(**changes)
    return build_dataset(
        "small", Labelled(values["x_train"], values["y_train"]), Labelled(values["x_test"], values["y_test"])
    )


# --- registered data sets -------------------------------------------------------------------------------------------


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
    """Return one binary batch of `count` pictures and the pictures [count, 32, 32, 3]."""
    x = np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return b"".join(bytes([i % 10]) + picture.transpose(2, 0, 1).tobytes() for i, picture in enumerate(x)), x


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
        ("x" * 5000, "known"),
        ("~nobody_/x", "known"),
    ],
)
def test_unknown_name(name: str, hint: str) -> None:
    with pytest.raises(UnknownName, match=f"^unknown data set '{name}'; {hint}"):
        load(name)


def test_paths_that_are_no_data(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"cannot read .*none\.npz: No such file"):
        load(str(tmp_path / "none.npz"))
    (tmp_path / "set.csv").write_text("1,2")
    with pytest.raises(InvalidInput, match=r"is neither an \.npz file nor a folder"):
        load(str(tmp_path / "set.csv"))


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


# --- npz files ------------------------------------------------------------------------------------------------------


def test_npz_round_trip(tmp_path: Path) -> None:
    values = arrays(channels=3)
    dataset = load(save(tmp_path, values))
    np.testing.assert_array_equal(dataset.x_train, values["x_train"])
    np.testing.assert_array_equal(dataset.y_test, values["y_test"])
    assert dataset.class_names == ("0", "1", "2") and dataset.notes == () and dataset.name.endswith("set.npz")
    named = load(save(tmp_path, {**values, "class_names": np.array(["a", "b", "c"])}))
    assert named.class_names == ("a", "b", "c") and named.digest == dataset.digest


def test_digest_tells_shapes_labels_and_pixels_apart(tmp_path: Path) -> None:
    values = arrays()
    variants = [
        values,
        {**values, "x_train": values["x_train"] ^ 1},
        {**values, "y_train": values["y_train"][::-1]},
        {**values, "x_test": values["x_test"][:2], "y_test": values["y_test"][:2]},
    ]
    assert len({load(save(tmp_path, variant)).digest for variant in variants}) == len(variants)
    assert load(save(tmp_path, {**values, "y_train": values["y_train"].astype(np.uint8)})).digest == small().digest


@pytest.mark.parametrize("convert", [np.float16, np.float32, np.float64])
def test_float_pixels_are_scaled_without_loss(convert: Callable[[Any], Any], tmp_path: Path) -> None:
    values = arrays()
    scaled = convert(values["x_train"] / np.float32(255))
    dataset = load(save(tmp_path, {**values, "x_train": scaled}))
    np.testing.assert_array_equal(dataset.x_train, values["x_train"])


def test_pictures_without_a_channel_axis_and_wide_integers(tmp_path: Path) -> None:
    values = arrays()
    flat = {**values, "x_train": values["x_train"][..., 0].astype(np.int64), "x_test": values["x_test"][..., 0]}
    assert load(save(tmp_path, flat)).digest == small().digest


def test_npz_without_a_test_set_holds_one_out(tmp_path: Path) -> None:
    values = arrays(per_class=20)
    path = save(tmp_path, {"x_train": values["x_train"], "y_train": values["y_train"]})
    dataset = load(path)
    assert np.bincount(dataset.y_train).tolist() == [18] * 3 and np.bincount(dataset.y_test).tolist() == [2] * 3
    assert "a fixed stratified 10% of it was held out" in dataset.notes[0]
    assert load(path).digest == dataset.digest


X, Y = arrays()["x_train"], arrays()["y_train"]
NAN = np.where(np.arange(X.size).reshape(X.shape) == 7, np.nan, 0.5)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({"x_train": NAN}, "x_train holds NaN or infinite pixels"),
    "infinite": ({"x_test": np.full((3, 6, 6, 1), np.inf)}, "x_test holds NaN or infinite pixels"),
    "float range": ({"x_train": X.astype(np.float32)}, r"floats within \[0, 1\], got float32 from 0 to 255; rescale"),
    "negative float": ({"x_train": X / 127.5 - 1}, r"got float64 from -1 to 1; rescale"),
    "integer range": ({"x_train": X.astype(np.int32) * 2}, "got int32 from 0 to 510"),
    "negative integer": ({"x_train": X.astype(np.int32) - 1}, "got int32 from -1 to 254"),
    "complex": ({"x_train": X.astype(complex)}, "got complex128"),
    "text": ({"x_train": np.full(X.shape, "a")}, "got <U1"),
    "empty": ({"x_train": X[:0], "y_train": Y[:0]}, r"x_train is empty: shape \[0, 6, 6, 1\]"),
    "empty test": ({"x_test": X[:0], "y_test": Y[:0]}, "x_test is empty"),
    "no pixels": ({"x_train": X[:, :0, :0]}, "x_train is empty"),
    "rank": ({"x_train": X.reshape(12, 36)}, r"the shape \[N, H, W\] .* got \[12, 36\]"),
    "channels": ({"x_train": np.repeat(X, 4, 3)}, r"C = 1 or 3, got \[12, 6, 6, 4\]"),
    "not square": ({"x_train": X[:, :4]}, "square pictures, got 4 x 6 pixels"),
    "one class": ({"y_train": Y * 0}, r"one class only \(0\)"),
    "gap": ({"y_train": Y * 2}, r"labels 0..K-1 without gaps, got 3 different ones from 0 to 4"),
    "from one": ({"y_train": Y + 1}, "got 3 different ones from 1 to 3; renumber"),
    "huge label": ({"y_train": Y + 2**40}, "labels from 0 on, got 1099511627776"),
    "negative label": ({"y_train": Y - 1}, "labels from 0 on, got -1 to 1"),
    "float label": ({"y_train": Y / 1.0}, r"y_train must be whole numbers of shape \[N\], got float64 \[12\]"),
    "label rank": ({"y_train": Y[:, None]}, r"got int64 \[12, 1\]"),
    "lengths": ({"y_train": Y[:-1]}, "x_train has 12 pictures, but y_train has 11 labels"),
    "test lengths": ({"x_test": X}, "x_test has 12 pictures, but y_test has 3 labels"),
    "rare class": ({"y_train": np.array([0, 1] * 5 + [0, 2])}, "at least 2 training pictures, class 2 has 1"),
    "new test label": ({"y_test": np.array([0, 1, 3])}, "y_test holds the label 3, which no training picture has"),
    "test size": ({"x_test": X[:3, :4, :4]}, r"shape \[6, 6, 1\] like x_train, got \[4, 4, 1\]"),
    "names": ({"class_names": np.array(["a"])}, "1 class names came with labels of 3 classes"),
    "objects": ({"x_train": np.array([X, None], dtype=object)}, "holds Python objects, which are never unpickled"),
    "object labels": ({"y_train": Y.astype(object)}, "holds Python objects, which are never unpickled"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_arrays_are_refused_in_one_line(case: str, tmp_path: Path) -> None:
    changes, message = REFUSED[case]
    path = save(tmp_path, {**arrays(), **changes})
    with pytest.raises(InvalidInput, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(path) and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
def test_missing_key(key: str, tmp_path: Path) -> None:
    values = arrays()
    del values[key]
    with pytest.raises(InvalidInput, match=rf"set\.npz lacks {key}; of the keys .* it has "):
        load(save(tmp_path, values))


def test_no_key_at_all(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"lacks x_train and y_train; .* it has none of them"):
        load(save(tmp_path, {"pictures": X}))


def test_a_class_too_rare_to_hold_out(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"at least 3 training pictures where no test set comes .* class 0 has 2"):
        load(save(tmp_path, {"x_train": X[:6], "y_train": Y[:6]}))


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.save(tmp_path / "one.npy", X)
    for data in (b"text", (tmp_path / "one.npy").read_bytes(), b"\x80\x04N."):
        path.write_bytes(data)
        with pytest.raises(InvalidInput, match=r"set\.npz is not an \.npz file"):
            load(str(path))
    path.write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"set\.npz is empty"):
        load(str(path))


def test_damaged_npz_never_ends_in_a_traceback(tmp_path: Path) -> None:
    path = Path(save(tmp_path, arrays(per_class=2, side=4)))
    data = path.read_bytes()
    whole = load(str(path)).digest
    for position in range(0, len(data), 7):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        with contextlib.suppress(InvalidInput):
            assert load(str(path)).digest == whole
    path.write_bytes(data[:-30])
    with pytest.raises(InvalidInput, match=r"set\.npz is damaged: File is not a zip file"):
        load(str(path))


def test_npz_with_an_entry_that_is_no_array(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x_train.npy", b"plain bytes, and enough of them")
    with pytest.raises(InvalidInput, match=r"set\.npz is damaged: "):
        load(str(path))


# --- folders of pictures --------------------------------------------------------------------------------------------


def picture(path: Path, value: int, mode: str = "RGB", size: tuple[int, int] = (10, 8)) -> None:
    """Write one picture of a single grey value, making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(path)


def class_folders(root: Path, count: int = 5, mode: str = "RGB", names: tuple[str, ...] = ("cat", "dog")) -> None:
    """Write `count` pictures for each class below `root`."""
    for label, name in enumerate(names):
        for index in range(count):
            picture(root / name / f"{index}.png", 40 * label + index, mode)


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_folder_with_a_test_part(test_name: str, tmp_path: Path) -> None:
    class_folders(tmp_path / "train")
    class_folders(tmp_path / test_name, count=1)
    dataset = load(str(tmp_path), resolution=8)
    assert dataset.x_train.shape == (10, 8, 8, 3) and dataset.x_test.shape == (2, 8, 8, 3)
    assert dataset.class_names == ("cat", "dog") and dataset.notes == ()
    assert dataset.x_train[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 40, 41, 42, 43, 44]
    assert dataset.y_train.tolist() == [0] * 5 + [1] * 5


@pytest.mark.parametrize("below", ["", "train"])
def test_folder_without_a_test_part(below: str, tmp_path: Path) -> None:
    class_folders(tmp_path / below, mode="L")
    dataset = load(str(tmp_path))
    assert dataset.x_train.shape == (8, 64, 64, 1) and np.bincount(dataset.y_test).tolist() == [1, 1]
    assert "20%" in dataset.notes[0] and load(str(tmp_path)).digest == dataset.digest


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    class_folders(tmp_path, names=("plane", "train"))
    assert load(str(tmp_path), resolution=4).class_names == ("plane", "train")


def test_one_colour_picture_makes_all_colour(tmp_path: Path) -> None:
    class_folders(tmp_path, mode="L")
    for index, mode in enumerate(("RGBA", "P", "CMYK", "1", "LA")):
        picture(tmp_path / "cat" / f"more{index}.tif", 255, "RGB" if mode == "LA" else mode)
    assert load(str(tmp_path), resolution=8).x_train.shape[1:] == (8, 8, 3)


def test_the_central_square_is_taken_upright(tmp_path: Path) -> None:
    class_folders(tmp_path)
    striped = np.zeros((4, 12), dtype=np.uint8)
    striped[:, 4:8] = 255
    striped[0, 4:8] = 100
    turned = Image.fromarray(np.rot90(striped))  # stored lying on its side, with the tag that says so
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "cat" / "00.png", exif=exif)
    dataset = load(str(tmp_path), resolution=4)
    expected = [[100] * 4] + [[255] * 4] * 3
    everything = np.concatenate([dataset.x_train, dataset.x_test])[..., 0].tolist()
    assert expected in everything


def test_other_files_are_left_out_and_noted(tmp_path: Path) -> None:
    class_folders(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "dog" / ".DS_Store").write_text("x")
    (tmp_path / ".git").mkdir()
    assert load(str(tmp_path), resolution=4).notes[0].startswith("1 files or folders")


def break_with_text(root: Path) -> None:
    (root / "train" / "cat" / "0.png").write_text("no picture")


def break_by_cutting(root: Path) -> None:
    path = root / "train" / "dog" / "0.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:5000])


def break_with_new_class(root: Path) -> None:
    picture(root / "test" / "cow" / "0.png", 1)


def break_with_empty_class(root: Path) -> None:
    (root / "train" / "ant").mkdir()


def break_with_empty_test(root: Path) -> None:
    for path in [*root.glob("test/*/*"), *root.glob("test/*")]:
        path.rmdir() if path.is_dir() else path.unlink()


def break_with_deep_pixels(root: Path) -> None:
    Image.fromarray(np.full((9, 9), 4000, dtype=np.uint16)).save(root / "train" / "cat" / "0.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (break_with_text, r"cannot read the picture .*train/cat/0\.png.*; repair or remove it"),
        (break_by_cutting, r"cannot read the picture .*train/dog/0\.png.*; repair or remove it"),
        (break_with_new_class, "test/cow is a class without training pictures; known: cat, dog"),
        (break_with_empty_class, "train/ant holds no pictures"),
        (break_with_empty_test, "test holds no class folders"),
        (break_with_deep_pixels, r"train/cat/0\.png has more than 8 bits per channel"),
    ],
)
def test_broken_folders(spoil: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "test", count=1)
    spoil(tmp_path)
    with pytest.raises(InvalidInput, match=message) as caught:
        load(str(tmp_path), resolution=4)
    assert "\n" not in str(caught.value)


def test_folders_without_classes(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"two or more class folders of pictures \(.*\), got 0"):
        load(str(tmp_path))
    class_folders(tmp_path, names=("cat",))
    with pytest.raises(InvalidInput, match="got 1"):
        load(str(tmp_path))


# --- splits and batches ---------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=8),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_split_is_disjoint_complete_and_stratified(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    kept, held_out = stratified_split(labels, round(fraction * len(labels)), seed)
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    held = np.bincount(labels[held_out], minlength=len(counts))
    share = np.array(counts) * round(fraction * len(labels)) / len(labels)
    assert (held >= 1).all() and (held < counts).all()
    assert (np.abs(held - share) < 1 + 1e-9).all()
    again = stratified_split(labels, round(fraction * len(labels)), seed)
    np.testing.assert_array_equal(again[1], held_out)


def test_split_for_search_is_fixed_by_its_seed() -> None:
    dataset = small(per_class=40)
    train, held_out = split_for_search(dataset, 0.25, 3)
    assert (len(train), len(held_out)) == (90, 30) and held_out.dtype == np.int32
    assert np.bincount(dataset.y_train[held_out]).tolist() == [10] * 3
    assert held_out[:6].tolist() == [0, 1, 2, 3, 11, 12]
    assert held_out.tolist() != split_for_search(dataset, 0.25, 4)[1].tolist()


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 2, float("nan")])
def test_split_for_search_refuses_fractions(fraction: float) -> None:
    with pytest.raises(InvalidInput, match="must lie between 0 and 1"):
        split_for_search(small(), fraction, 0)


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(InvalidInput, match="a seed must be 0 or larger, got -1"):
        split_for_search(small(), 0.5, -1)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 1000), n=st.integers(1, 200), data=st.data())
def test_epochs_visit_each_picture_at_most_once(seed: int, epoch: int, n: int, data: st.DataObject) -> None:
    batch = data.draw(st.integers(1, n))
    indices = epoch_indices(seed, epoch, n, batch)
    assert indices.shape == (n // batch, batch) and indices.dtype == np.int32
    assert len(set(indices.ravel().tolist())) == indices.size and indices.min() >= 0 and indices.max() < n
    np.testing.assert_array_equal(indices, epoch_indices(seed, epoch, n, batch))


def test_epochs_differ() -> None:
    orders = {tuple(epoch_indices(seed, epoch, 50, 50)[0]) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    assert epoch_indices(0, 0, 6, 2).tolist() == [[3, 2], [1, 0], [4, 5]]


@pytest.mark.parametrize("batch", [0, -1, 11])
def test_batches_that_do_not_fit(batch: int) -> None:
    with pytest.raises(InvalidInput, match=f"from 1 to the 10 training pictures, got {batch}"):
        epoch_indices(0, 0, 10, batch)


# --- the way to the network -----------------------------------------------------------------------------------------

AUGMENT: Any = jax.jit(augment, static_argnums=2)


def test_resize_agrees_with_pillow_where_it_shrinks_and_keeps_flat_pictures() -> None:
    x = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), dtype=np.uint8)
    ours = resize(x, 8)
    theirs = [np.asarray(Image.fromarray(p[..., 0]).resize((8, 8), Image.Resampling.BILINEAR)) for p in x]
    assert np.abs(ours[..., 0].astype(int) - np.array(theirs)).max() <= 1
    assert resize(x, 32) is x
    assert (resize(np.full((2, 7, 7, 3), 200, np.uint8), 20) == 200).all()


def test_at_resolution_keeps_the_rest() -> None:
    dataset = small(channels=3)
    larger = at_resolution(dataset, 12)
    assert larger.x_train.shape == (12, 12, 12, 3) and larger.resolution == 12 and larger.digest != dataset.digest
    assert larger.notes == ("resized from 6 to 12 pixels",)
    assert at_resolution(dataset, 6) is dataset


def test_channel_stats_and_input_standardise() -> None:
    dataset = small(channels=3, per_class=30)
    mean, std = channel_stats(dataset)
    scaled = dataset.x_train.astype(np.float64) / 255
    np.testing.assert_allclose(mean, scaled.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std, scaled.std((0, 1, 2)), rtol=1e-6)
    with jax.numpy_rank_promotion("raise"):
        x = to_input(jnp.asarray(dataset.x_train), mean, std, 3)
    assert x.dtype == jnp.float32
    np.testing.assert_allclose(x.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 1, 2)), 1, atol=1e-5)


def test_flat_pictures_do_not_divide_by_zero() -> None:
    flat = Labelled(np.full((4, 2, 2), 9, np.uint8), np.array([0, 0, 1, 1]))
    mean, std = channel_stats(build_dataset("flat", flat, flat))
    np.testing.assert_allclose([mean[0], std[0]], [9 / 255, 1 / 255], rtol=1e-6)


def test_grey_is_repeated_and_colour_is_not_dropped() -> None:
    dataset = small()
    x = to_input(jnp.asarray(dataset.x_train), *channel_stats(dataset), channels=3)
    assert x.shape == (12, 6, 6, 3)
    np.testing.assert_array_equal(x[..., 0], x[..., 2])
    colour = small(channels=3)
    with pytest.raises(InvalidInput, match="the network takes 1 channels, but the pictures have 3"):
        to_input(jnp.asarray(colour.x_train), *channel_stats(colour), channels=1)


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.float32])
def test_augment_gives_shifted_and_mirrored_copies_only(dtype: Any) -> None:
    picture_8 = jnp.arange(1, 65, dtype=dtype).reshape(1, 8, 8, 1)
    batch = jnp.repeat(picture_8, 200, axis=0)
    with jax.numpy_rank_promotion("raise"):
        out = np.asarray(AUGMENT(jax.random.key(0), batch, Augmentation(0.125, flip=True)))
    padded = np.pad(np.asarray(picture_8[0, ..., 0]), 1)
    allowed = {
        padded[i : i + 8, j : j + 8][:, ::step].tobytes() for i in range(3) for j in range(3) for step in (1, -1)
    }
    assert out.dtype == dtype and out.shape == batch.shape
    assert {p[..., 0].tobytes() for p in out} == allowed


def test_augment_may_do_nothing() -> None:
    batch = jnp.asarray(small().x_train)
    np.testing.assert_array_equal(augment(jax.random.key(0), batch, Augmentation(0, flip=False)), batch)
    with pytest.raises(InvalidInput, match=r"between 0 and 0\.5, got 0\.7"):
        Augmentation(0.7)


def test_augment_is_pure_under_jit_and_vmap() -> None:
    batches = jnp.asarray(np.random.default_rng(0).integers(0, 256, (3, 5, 8, 8, 3), dtype=np.uint8))
    keys = jax.random.split(jax.random.key(1), 3)
    plan, compiled_before = Augmentation(flip=True), AUGMENT._cache_size()
    one_by_one = np.stack([AUGMENT(key, batch, plan) for key, batch in zip(keys, batches, strict=True)])
    together = jax.jit(jax.vmap(lambda key, batch: augment(key, batch, plan)))(keys, batches)
    np.testing.assert_array_equal(together, one_by_one)
    assert AUGMENT._cache_size() == compiled_before + 1


def test_augment_is_fast() -> None:
    batch = jnp.zeros((64, 28, 28, 1), jnp.uint8)
    key, plan = jax.random.key(0), Augmentation(flip=True)
    AUGMENT(key, batch, plan).block_until_ready()
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        AUGMENT(key, batch, plan).block_until_ready()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 2e-3
