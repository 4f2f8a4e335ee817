"""Folders of images: which layouts are read, how images become squares, and what the notes of the data say."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from nas.data import Dataset, ImageFiles, Labelled, Preparation, at_resolution, build_dataset, load, signature
from nas.data import image_files as image_files_module
from nas.data.framing import read_image
from nas.data.input_spec import Framing
from nas.errors import InvalidInput
from nas.runs.settings import SearchConfig

CLASSES = ("bolt", "nut", "washer")


def noise(seed: int, size: tuple[int, int] = (12, 12)) -> Image.Image:
    """Return an image of random colours, `size` high and wide."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def parts(root: Path, counts: Mapping[str, int], classes: tuple[str, ...] = CLASSES, size: Any = (12, 12)) -> Path:
    """Write so many images per class into each folder `root`/part/class; a part may hold {class} itself."""
    for seed, (part, count) in enumerate(counts.items()):
        for label, name in enumerate(classes):
            folder = root / part.format(**{"class": name}) if "{class}" in part else root / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                noise(10_000 * seed + 100 * label + index, size).save(folder / f"{index:03d}.png")
    return root


# --- parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "counts",
    [
        {"train": 5, "valid": 2},
        {"Training": 5, "Validation": 2},
        {"TRAIN": 5, "eval": 2},
        {"{class}/train": 5, "{class}/val": 2},
        {"{class}/Training": 5, "{class}/Testing": 2},
    ],
    ids=str,
)
def test_every_common_spelling_of_parts_is_read(counts: dict[str, int], tmp_path: Path) -> None:
    dataset = load(str(parts(tmp_path, counts)))
    assert (len(dataset.y_train), len(dataset.y_test)) == (15, 6) and dataset.class_names == CLASSES
    assert np.bincount(dataset.y_train).tolist() == [5] * 3 and not any("no test set" in n for n in dataset.notes)


def test_validation_images_beside_test_images_are_for_training(tmp_path: Path) -> None:
    dataset = load(str(parts(tmp_path, {"train": 5, "val": 2, "test": 3})))
    assert (len(dataset.y_train), len(dataset.y_test)) == (21, 9)
    assert "the images in 'val' join the training images" in dataset.notes[0] and "'test'" in dataset.notes[0]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"train": 3, "holdout": 2}, r"holdout lies beside training images .*valid, validation.*rename it"),
        ({"train": 3, "val": 2, "valid": 2}, r"val and .*valid are the same part; put their images into one"),
        ({"test": 3, "valid": 2}, r"has test and valid, but no folder 'train'"),
        ({"{class}/train": 3, "{class}/old": 2}, r"bolt/old lies beside training images"),
        ({"inner/train": 3}, r"got 1; if the data set lies in .*inner, name that"),
    ],
)
def test_unknown_parts_are_refused_by_name(counts: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        load(str(parts(tmp_path, counts)))
    assert "\n" not in str(caught.value)


def test_everything_left_out_is_counted_by_kind(tmp_path: Path) -> None:
    parts(tmp_path, {"train": 5, "test": 2})
    for name in ("train/bolt/a.txt", "train/nut/b.TXT", "test/nut/c.heic", "train/.DS_Store", "README", "labels.csv"):
        (tmp_path / name).write_text("x")
    (tmp_path / "train" / "bolt" / "old").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    left_out = "left out: 2 .txt, 2 hidden, 1 .csv, 1 .heic, 1 folder, 1 without an ending"
    assert load(str(tmp_path)).notes == (left_out,)


# --- classes --------------------------------------------------------------------------------------------------------


def test_messages_call_classes_by_their_names(tmp_path: Path) -> None:
    parts(tmp_path, {"": 4}, ("ok",))
    parts(tmp_path, {"": 1}, ("defect",))
    with pytest.raises(InvalidInput, match=r"at least 3 training images .*, class 'defect' has 1$"):
        load(str(tmp_path))
    data = Labelled(np.zeros((3, 2, 2), np.uint8), np.array([0, 0, 1]))
    with pytest.raises(InvalidInput, match=r"at least 2 training images, class 'no' has 1$"):
        build_dataset("set", data, data, class_names=("yes", "no"))
    with pytest.raises(InvalidInput, match=r"class 1 has 1$"):
        build_dataset("set", data, data)


def test_imbalance_is_said_with_its_numbers(tmp_path: Path) -> None:
    parts(tmp_path, {"": 34}, ("ok",), (2, 2))
    parts(tmp_path, {"": 4}, ("defect",), (2, 2))
    assert not any("imbalanced" in note for note in load(str(tmp_path)).notes)  # 9 to 1, after the test images are off
    (tmp_path / "defect" / "003.png").unlink()
    (note,) = (note for note in load(str(tmp_path)).notes if "imbalanced" in note)
    assert "'ok' has 28 training images, 'defect' 2" in note and "--class-weights balanced" in note


# --- how an image becomes a square ----------------------------------------------------------------------------------


def icon(mode: str) -> Image.Image:
    """Return a black disc whose form is in the transparency, in a mode of Pillow."""
    alpha = np.zeros((16, 16), np.uint8)
    alpha[4:12, 4:12] = 255
    image = Image.fromarray(np.dstack([np.zeros((16, 16, 3), np.uint8), alpha]))
    if mode == "RGB":  # one colour of it stands for transparent
        black = Image.composite(image.convert("RGB"), Image.new("RGB", (16, 16), (1, 2, 3)), Image.fromarray(alpha))
        black.info["transparency"] = (1, 2, 3)
        return black
    return image.convert(mode) if mode != "P" else image.quantize(4)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA", "RGB"])
@pytest.mark.parametrize("background", [255, 0, 77])
def test_transparency_is_laid_on_the_background(mode: str, background: int, tmp_path: Path) -> None:
    ending = "tif" if mode == "PA" else "png"
    for name in CLASSES:
        (tmp_path / name).mkdir()
        for index in range(3):
            picture = icon("RGBA" if mode == "PA" else mode)
            picture.save(tmp_path / name / f"{index}.{ending}", transparency=picture.info.get("transparency"))
    dataset = load(str(tmp_path), preparation=Preparation(background=background))
    assert dataset.channels == (1 if mode == "LA" else 3)
    assert dataset.x_train[0][0, 0].tolist() == [background] * dataset.channels
    assert dataset.x_train[0][8, 8].tolist() == [0] * dataset.channels
    shade = {255: "white", 0: "black", 77: "grey level 77"}[background]
    assert any(f"transparent pixels of 9 images were laid on {shade}" in note for note in dataset.notes)
    assert signature(dataset, (16, 16, 3)).input.background == background


FITS: dict[str, Callable[[Dataset], bool]] = {
    "crop": lambda data: int(data.x_train.max()) == 100,
    "pad": lambda data: data.x_train[0][0, 0, 0] == 255 and data.x_train[0][6, 0, 0] == 200,
    "squash": lambda data: data.x_train[0][0, 0, 0] == 200 and data.x_train[0][0, 6, 0] == 100,
}


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("turned", [False, True])
def test_wide_and_tall_images_fit_as_asked(fit: Any, turned: bool, tmp_path: Path) -> None:
    belt = np.full((12, 48), 100, np.uint8)
    belt[:, :12] = 200  # what a crop cuts off
    for name in CLASSES:
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.fromarray(np.rot90(belt, turned)).save(tmp_path / name / f"{index}.png")
    dataset = load(str(tmp_path), resolution=12, preparation=Preparation(fit=fit))
    if turned and fit != "crop":  # upright, the marked end is below
        assert dataset.x_train[0][-1, 6, 0] == 200
    else:
        assert FITS[fit](dataset)
    size = "48 x 12" if turned else "12 x 48"
    note = f"the central square of images of {size} px (height x width) was taken, 9 of 9 images"
    assert any(note in one for one in dataset.notes) == (fit == "crop")
    assert signature(dataset, (12, 12, 3)).input.fit == fit


def test_images_get_the_proportions_of_the_input_that_they_are_for(tmp_path: Path) -> None:
    for number, name in enumerate(CLASSES):
        (tmp_path / name).mkdir()
        for index in range(3):
            row = np.arange(48, dtype=np.uint8) * 4 + 10 * number + index
            Image.fromarray(np.tile(row, (24, 1))).save(tmp_path / name / f"{index}.png")
    square, wide = load(str(tmp_path)), load(str(tmp_path), proportions="6x12")
    assert square.size == (24, 24)
    assert any("central square of images of 24 x 48 px" in note for note in square.notes)
    assert wide.size == (6, 12) and not any("central" in note for note in wide.notes)  # nothing is cut off
    same = at_resolution(square, "6x12")
    assert (np.asarray(same.x_train) == np.asarray(wide.x_train)).all() and same.notes == wide.notes
    assert load(str(tmp_path), proportions=96).size == square.size  # of squares a folder keeps its own resolution
    tall = at_resolution(square, "12x6").notes[-1]
    assert tall.startswith("the central part with the proportions of 12x6 of images of 24 x 48 px")


def test_images_without_content_are_worth_a_line(tmp_path: Path) -> None:
    for name, values in (("flat", (10, 200)), ("same", (10, 10))):
        for label, value in zip(CLASSES, (*values, 30) if name == "flat" else (10,) * 3, strict=True):
            (tmp_path / name / label).mkdir(parents=True)
            for index in range(3):
                Image.new("L", (8, 8), value).save(tmp_path / name / label / f"{index}.png")
    assert any("of one colour each" in note for note in load(str(tmp_path / "flat")).notes)
    assert any("are the same image" in note for note in load(str(tmp_path / "same")).notes)


def test_copies_between_parts_and_classes_are_worth_a_line(tmp_path: Path) -> None:
    parts(tmp_path, {"train": 4, "test": 2})
    copy = (tmp_path / "train" / "bolt" / "000.png").read_bytes()
    (tmp_path / "test" / "bolt" / "001.png").write_bytes(copy)
    notes = load(str(tmp_path)).notes
    assert len(notes) == 1 and "1 of 6 test images are training images too" in notes[0]
    (tmp_path / "train" / "nut" / "003.png").write_bytes(copy)
    (tmp_path / "test" / "bolt" / "001.png").unlink()
    (note,) = load(str(tmp_path)).notes
    assert note.startswith("2 images lie in several classes") and note.endswith("in 'bolt' and 'nut'")


# --- at the resolution that is asked for ----------------------------------------------------------------------------


def test_images_are_decoded_from_their_files_at_any_resolution(tmp_path: Path) -> None:
    dataset = load(str(parts(tmp_path, {"train": 3, "test": 1}, size=(40, 40))))
    assert dataset.resolution == 40 and dataset.x_train.shape == (9, 40, 40, 3)
    path = tmp_path / "train" / "bolt" / "001.png"
    np.testing.assert_array_equal(dataset.x_train[1], np.asarray(Image.open(path)))
    small = at_resolution(at_resolution(dataset, 4), 10)
    shrunk = Image.open(path).resize((10, 10), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(small.x_train[1], np.asarray(shrunk))
    assert small.digest == dataset.digest and not any("enlarged" in note for note in small.notes)
    assert "12 of 12 images have fewer than 64 px" in at_resolution(dataset, 64).notes[-1]


def test_large_jpegs_are_decoded_small_and_look_the_same(tmp_path: Path) -> None:
    wave = np.sin(np.arange(512) / 30) * 100 + 128
    image = Image.fromarray(np.add.outer(wave, wave).astype(np.uint16).clip(0, 510).__floordiv__(2).astype(np.uint8))
    image.save(tmp_path / "a.jpg", quality=95)
    decoded = read_image(tmp_path / "a.jpg", 16, 1, Framing())[..., 0].astype(int)
    exact = np.asarray(Image.open(tmp_path / "a.jpg").resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(decoded - exact).max() <= 4


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load(str(parts(tmp_path, {"train": 40, "test": 2})))
    read: list[Path] = []

    def counted(path: Path, *args: Any) -> Any:
        read.append(path)
        return read_image(path, *args)

    monkeypatch.setattr(image_files_module, "read_image", counted)
    monkeypatch.setattr(image_files_module, "KEPT_BYTES", 1000)
    larger = at_resolution(dataset, 20)
    assert isinstance(larger.x_train, ImageFiles) and not read
    assert larger.x_train[np.array([7, 3])].shape == (2, 20, 20, 3)
    assert [path.name for path in sorted(read)] == ["003.png", "007.png"]
    assert larger.x_train[-1].shape == (20, 20, 3) and larger.x_train[2:4].shape == (2, 20, 20, 3)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("ending", ["bmp", "jpg", "png"])
def test_damaged_pixels_name_their_file(
    ending: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts(tmp_path, {"train": 40, "test": 1})
    path = tmp_path / "train" / "nut" / f"0005.{ending}"  # not among those that are looked at when the folder is read
    noise(1, (64, 64)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    monkeypatch.setattr(image_files_module, "KEPT_BYTES", 1 << 30 if kept else 0)

    def read() -> Any:
        return np.asarray(load(str(tmp_path), resolution=8).x_train)

    with pytest.raises(InvalidInput, match=rf"cannot read the image .*nut/0005\.{ending}: .*; repair or remove it"):
        read()


@pytest.mark.parametrize("kept", [True, False])
def test_files_that_are_kept_and_that_are_not_give_the_same(
    kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load(str(parts(tmp_path, {"train": 5, "test": 2})), resolution=6)
    whole = np.asarray(dataset.x_train)
    monkeypatch.setattr(image_files_module, "KEPT_BYTES", 1 << 30 if kept else 0)
    again = load(str(tmp_path), resolution=6)
    assert isinstance(again.x_train, ImageFiles) and again.x_train.kept == kept
    rows = np.array([3, 1, 1])
    for images in (again.x_train, pickle.loads(pickle.dumps(again.x_train)), again.x_train.take(np.arange(15))):
        np.testing.assert_array_equal(images[rows], whole[rows])
    np.testing.assert_array_equal(again.channel_stats, dataset.channel_stats)
    assert (int(again.x_train.min()), int(again.x_train.max())) == (whole.min(), whole.max())


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(%stdout) (w) file (run) writestring\n"


@pytest.mark.parametrize("framing", [Framing(), None])
@pytest.mark.parametrize("content", [POSTSCRIPT, b"8BPS\0\1" + bytes(40)])
def test_no_decoder_but_those_of_the_named_formats_sees_a_file(
    framing: Framing | None, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **kwargs: opened.append(args))
    parts(tmp_path, {"train": 3})
    (tmp_path / "train" / CLASSES[0] / "000.png").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"cannot read the image .*000\.png: it is no image of the formats BMP, GIF"):
        load(str(tmp_path), preparation=Preparation(fit=None if framing is None else "crop")).x_train[:]
    with pytest.raises(InvalidInput, match="it is no image of the formats"):
        read_image(BytesIO(content), 8, 3, Framing())
    assert opened == []


def test_images_are_opened_in_one_place(root: Path) -> None:
    opening = [path for path in (root / "nas").rglob("*.py") if "Image.open(" in path.read_text()]
    assert opening == [root / "nas" / "data" / "framing.py"]


def test_the_digest_is_that_of_names_contents_and_framing_wherever_they_lie(tmp_path: Path) -> None:
    one, other = (parts(tmp_path / name, {"train": 3, "test": 1}) for name in ("one", "other"))
    digest = load(str(one)).digest
    assert load(str(other)).digest == load(str(one), resolution=5).digest == digest
    assert load(str(one), preparation=Preparation(fit="pad")).digest != digest
    (other / "train" / "nut" / "001.png").rename(other / "train" / "nut" / "009.png")
    assert load(str(other)).digest != digest
    noise(1).save(one / "train" / "nut" / "001.png")
    assert load(str(one)).digest != digest


def test_folders_of_release_0_1_are_read_as_it_did(tmp_path: Path) -> None:
    parts(tmp_path, {"train": 5, "valid": 2}, size=(100, 50))
    dataset = load(str(tmp_path), preparation=Preparation(fit=None))
    assert dataset.x_train.shape == (12, 64, 64, 3) and isinstance(dataset.x_train, np.ndarray)
    assert at_resolution(dataset, 32).digest != dataset.digest and dataset.framing is None


def test_what_the_images_are_asked_to_be_is_checked() -> None:
    for wrong in ({"fit": "stretch"}, {"background": 256}, {"augment_shift": 0.7}, {"class_weights": "equal"}):
        with pytest.raises(InvalidInput):
            Preparation(**wrong)


def test_augmentation_and_class_weights_replace_those_of_the_data(tmp_path: Path) -> None:
    parts(tmp_path, {"train": 2, "test": 1})
    noise(99).save(tmp_path / "train" / "nut" / "more.png")
    plain = load(str(tmp_path))
    assert (plain.augmentation.shift_px_fraction, plain.augmentation.flip, plain.class_weights) == (0.125, False, ())
    dataset = load(str(tmp_path), preparation=Preparation(augment_shift=0, flip=True, class_weights="balanced"))
    assert (dataset.augmentation.shift_px_fraction, dataset.augmentation.flip) == (0, True)
    np.testing.assert_allclose(dataset.class_weights, [7 / 6, 7 / 9, 7 / 6])
    assert np.mean(np.array(dataset.class_weights)[dataset.y_train]) == pytest.approx(1)


def test_settings_of_release_0_1_state_no_fit_and_keep_its_reading() -> None:
    stored = {name: value for name, value in asdict(SearchConfig()).items() if name not in asdict(Preparation())}
    old = SearchConfig.from_dict(stored)
    assert old.preparation == Preparation(fit=None) and SearchConfig().preparation == Preparation()
    padded = SearchConfig.from_dict(asdict(replace(old, fit="pad", flip=True)))
    assert padded.preparation == Preparation("pad", flip=True)
