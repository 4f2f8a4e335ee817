"""Data of one's own, as an .npz file or a folder of images: what it becomes, and what is refused in one line."""

import contextlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data import load
from nas.data.image_files import read_header
from nas.errors import InvalidInput
from tests.support.data_sets import arrays, save, small

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


def test_images_without_a_channel_axis_and_wide_integers(tmp_path: Path) -> None:
    values = arrays()
    flat = {**values, "x_train": values["x_train"][..., 0].astype(np.int64), "x_test": values["x_test"][..., 0]}
    assert load(save(tmp_path, flat)).digest == small().digest


def test_npz_without_a_test_set_holds_one_out(tmp_path: Path) -> None:
    values = arrays(per_class=20)
    path = save(tmp_path, {"x_train": values["x_train"], "y_train": values["y_train"]})
    dataset = load(path)
    assert np.bincount(dataset.y_train).tolist() == [18] * 3 and np.bincount(dataset.y_test).tolist() == [2] * 3
    assert "a fixed stratified 10% of it was set aside" in dataset.notes[0]
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
    "other size": ({"x_train": X[:, :4]}, r"shape \[4, 6, 1\] like x_train, got \[6, 6, 1\]"),
    "one class": ({"y_train": Y * 0}, r"one class only \(0\)"),
    "gap": ({"y_train": Y * 2}, r"labels 0..K-1 without gaps, got 3 different ones from 0 to 4"),
    "from one": ({"y_train": Y + 1}, "got 3 different ones from 1 to 3; renumber"),
    "huge label": ({"y_train": Y + 2**40}, "labels from 0 on, got 1099511627776"),
    "negative label": ({"y_train": Y - 1}, "labels from 0 on, got -1 to 1"),
    "float label": ({"y_train": Y / 1.0}, r"float64 and the shape \[12\]: say --task regression, or --task class"),
    "label rank": ({"y_train": Y[:, None]}, r"int64 and the shape \[12, 1\]: say --task regression"),
    "target rank": ({"y_train": Y[:, None, None] / 3}, r"numbers \[N\] or \[N, K\] for regression, .* \[12, 1, 1\]"),
    "one-hot": ({"y_train": np.eye(3)[Y]}, "exactly one 1 in every row of 3: say --task multi-label, or"),
    "NaN target": ({"y_train": np.where(Y == 1, np.nan, 0.5)}, "y_train holds NaN or infinite numbers"),
    "lengths": ({"y_train": Y[:-1]}, "x_train has 12 images, but y_train has 11 labels"),
    "test lengths": ({"x_test": X}, "x_test has 12 images, but y_test has 3 labels"),
    "rare class": ({"y_train": np.array([0, 1] * 5 + [0, 2])}, "at least 2 training images, class 2 has 1"),
    "new test label": ({"y_test": np.array([0, 1, 3])}, "y_test holds the label 3, which no training image has"),
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
        load(save(tmp_path, {"images": X}))


def test_a_class_too_rare_to_hold_out(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"at least 3 training images where no test set comes .* class 0 has 2"):
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


# --- folders of images --------------------------------------------------------------------------------------------


def image(path: Path, value: int, mode: str = "RGB", size: tuple[int, int] = (10, 8)) -> None:
    """Write one image of a single grey value, making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(path)


def class_folders(root: Path, count: int = 5, mode: str = "RGB", names: tuple[str, ...] = ("cat", "dog")) -> None:
    """Write `count` images for each class below `root`."""
    for label, name in enumerate(names):
        for index in range(count):
            image(root / name / f"{index}.png", 40 * label + index, mode)


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_folder_with_a_test_part(test_name: str, tmp_path: Path) -> None:
    class_folders(tmp_path / "train")
    class_folders(tmp_path / test_name, count=1)
    dataset = load(str(tmp_path), resolution=8)
    assert dataset.x_train.shape == (10, 8, 8, 3) and dataset.x_test.shape == (2, 8, 8, 3)
    assert dataset.class_names == ("cat", "dog")
    assert ("the test images are those in 'val'" in dataset.notes) == (test_name == "val")
    assert dataset.x_train[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 40, 41, 42, 43, 44]
    assert dataset.y_train.tolist() == [0] * 5 + [1] * 5


@pytest.mark.parametrize("below", ["", "train"])
def test_folder_without_a_test_part(below: str, tmp_path: Path) -> None:
    class_folders(tmp_path / below, mode="L")
    dataset = load(str(tmp_path))
    assert dataset.x_train.shape == (8, 8, 8, 1) and np.bincount(dataset.y_test).tolist() == [1, 1]
    assert "20%" in dataset.notes[1] and load(str(tmp_path)).digest == dataset.digest


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    class_folders(tmp_path, names=("plane", "train"))
    assert load(str(tmp_path), resolution=4).class_names == ("plane", "train")


def test_one_colour_image_makes_all_colour(tmp_path: Path) -> None:
    class_folders(tmp_path, mode="L")
    for index, mode in enumerate(("RGBA", "P", "CMYK", "1", "LA")):
        image(tmp_path / "cat" / f"more{index}.tif", 255, "RGB" if mode == "LA" else mode)
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
    assert load(str(tmp_path), resolution=4).notes[0] == "left out: 2 hidden, 1 .txt"


def break_with_text(root: Path) -> None:
    (root / "train" / "cat" / "0.png").write_text("no image")


def break_by_cutting(root: Path) -> None:
    path = root / "train" / "dog" / "0.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:5000])


def break_with_new_class(root: Path) -> None:
    image(root / "test" / "cow" / "0.png", 1)


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
        (break_with_text, r"cannot read the image .*train/cat/0\.png.*; repair or remove it"),
        (break_by_cutting, r"cannot read the image .*train/dog/0\.png.*; repair or remove it"),
        (break_with_new_class, "test/cow is a class without training images; known: cat, dog"),
        (break_with_empty_class, "train/ant holds no images"),
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
    with pytest.raises(InvalidInput, match=r"two or more class folders of images \(.*\), got 0"):
        load(str(tmp_path))
    class_folders(tmp_path, names=("cat",))
    with pytest.raises(InvalidInput, match="got 1"):
        load(str(tmp_path))


def test_an_array_that_declares_more_than_it_has_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive, archive.open("x_train.npy", "w") as member:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 8, 8, 1)}
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(64))
    with pytest.raises(InvalidInput, match="x_train declares 64,000,000,000,000 bytes and has 64"):
        load(str(tmp_path / "set.npz"))


def test_an_archive_that_the_memory_does_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.files.free_memory_bytes", lambda: 2**20)
    compressed = zipfile.ZipFile(tmp_path / "set.npz", "w", zipfile.ZIP_DEFLATED)
    with compressed as archive, archive.open("x_train.npy", "w") as member:
        header = {"descr": "|u1", "fortran_order": False, "shape": (2**27, 1)}
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(2**27))
    with pytest.raises(InvalidInput, match="takes 134,217,728 bytes of memory, and 1,048,576 are free"):
        load(str(tmp_path / "set.npz"))


def test_an_image_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "large.ppm"
    path.write_bytes(b"P6 20000 20000 255\n" + bytes(300))
    with pytest.raises(InvalidInput, match="pixels"):
        read_header(path)
    path.write_bytes(b"P6 12000 12000 255\n" + bytes(300))
    with pytest.raises(InvalidInput, match="it has 12,000 x 12,000 pixels; at most 100,000,000 are decoded"):
        read_header(path)


def test_a_pipe_called_an_image_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InvalidInput, match="no file of data"):
        read_header(tmp_path / "pipe.png")


@pytest.mark.parametrize("name", ["train/cat\udcff", "train/cat/0\udcff.png"])
def test_a_name_that_is_no_utf_8_text_is_refused(name: str, tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        (tmp_path / "train" / kind).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "train" / kind / "0.png")
    path = tmp_path / name
    path.write_bytes((tmp_path / "train/cat/0.png").read_bytes()) if path.suffix else path.mkdir()
    with pytest.raises(InvalidInput, match="no UTF-8 text; rename it"):
        load(str(tmp_path))
