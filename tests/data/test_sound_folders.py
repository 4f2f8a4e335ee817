"""Folders of .wav files, splits by group, keywords and silence, and tables of sensor series."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.data import Dataset, Labelled, Preparation, build_dataset, load, split_for_search, validation_view
from nas.data.split import grouped_split
from nas.errors import InvalidInput, UnknownName
from tests.support.data_sets import save
from tests.support.sounds import PITCHES, RATE, SAMPLES, save_wave, tone_arrays, tones

WORDS = ("down", "left", "right", "up")


def words(folder: Path, per_class: int = 6, speakers: int = 3, classes: tuple[str, ...] = WORDS) -> Path:
    """Write a folder as that of Speech Commands: a folder a word, files named by speaker and take."""
    x, y = tones(per_class, classes=len(classes))
    for number, (samples, label) in enumerate(zip(x, y, strict=True)):
        take = number // len(classes)
        name = f"s{take % speakers}_nohash_{take // speakers}.wav"
        save_wave(folder / classes[label] / name, samples)
    return folder


def speakers_of(data: Dataset, rows: np.ndarray[tuple[int], np.dtype[np.int32]]) -> set[str]:
    """Return the speakers of training examples."""
    return set(data.groups["speaker"][rows])


def test_a_folder_of_class_folders_of_sounds_is_waveforms(tmp_path: Path) -> None:
    data = load(str(words(tmp_path)))
    assert (data.kind, data.sample_rate, data.class_names) == ("waveforms", RATE, WORDS)
    assert data.x_train.shape[1:] == (SAMPLES, 1, 1) and len(data.y_train) + len(data.y_test) == 24
    assert load(str(tmp_path)).digest == data.digest


def test_the_lists_of_speech_commands_are_kept(tmp_path: Path) -> None:
    words(tmp_path)
    (tmp_path / "testing_list.txt").write_text("".join(f"{word}/s0_nohash_0.wav\n" for word in WORDS))
    (tmp_path / "validation_list.txt").write_text("".join(f"{word}/s1_nohash_1.wav\n" for word in WORDS))
    data = load(str(tmp_path))
    assert (len(data.y_train), len(data.y_test)) == (20, 4)
    train, val = split_for_search(data, 0.2, 7)
    assert speakers_of(data, val) == {"s1"} and len(val) == 4 and len(train) == 16
    assert sorted([*train, *val]) == list(range(20))
    by_speaker = load(str(tmp_path), preparation=Preparation(group="speaker"))
    train, val = split_for_search(by_speaker, 0.2, 7)
    assert not speakers_of(by_speaker, train) & speakers_of(by_speaker, val)
    (tmp_path / "testing_list.txt").write_text("up/gone.wav\n")
    with pytest.raises(InvalidInput, match=r"testing_list\.txt names up/gone\.wav, which is not there"):
        load(str(tmp_path))


def test_sounds_of_other_rates_are_refused_or_resampled_and_other_lengths_placed(tmp_path: Path) -> None:
    words(tmp_path)
    save_wave(tmp_path / "up" / "fast.wav", tones(1)[0][0], rate=2 * RATE)
    with pytest.raises(InvalidInput, match=r"has 4000 Hz, but .* has 2000 Hz; --sample-rate 2000 resamples") as error:
        load(str(tmp_path))
    assert "\n" not in str(error.value)
    data = load(str(tmp_path), preparation=Preparation(sample_rate=RATE))
    assert data.size.height == SAMPLES and "1 lie between silence for 0.2 s" in data.notes[0]
    short = load(str(tmp_path), preparation=Preparation(sample_rate=1000, clip_seconds=0.1))
    assert (short.size.height, short.sample_rate) == (100, 1000)


def test_a_test_set_that_is_split_off_holds_other_groups(tmp_path: Path) -> None:
    values = {key: value for key, value in tone_arrays(speakers=6).items() if not key.endswith("_test")}
    path = save(tmp_path, values)
    data = load(path, preparation=Preparation(group="speaker"))
    in_training = set(data.groups["speaker"].tolist())
    assert len(in_training) == 5 and len(data.y_test) == 8 and len(data.groups["speaker"]) == len(data.y_train)
    assert "all of 1 of 6 in 'speaker', 8 examples, were set aside" in data.notes[0]
    train, val = split_for_search(data, 0.2, 0)
    assert not speakers_of(data, train) & speakers_of(data, val) and len(val) == 8
    assert validation_view(data, 0.2, 0).digest != validation_view(load(path), 0.2, 0).digest
    plain = load(path)
    assert plain.group is None and len(set(plain.groups["speaker"].tolist())) == 6
    with pytest.raises(InvalidInput, match=r"has no groups 'mood'; it has speaker"):
        load(path, preparation=Preparation(group="mood"))
    with pytest.raises(InvalidInput, match=r"it has none; an .npz file needs the key speaker_train"):
        load("digits", preparation=Preparation(group="speaker"))


def grouped_file(folder: Path, **more: Any) -> str:
    """Write tones of six speakers, of which the test set has the last recording of each, and return the path."""
    values = tone_arrays(per_class=12, speakers=6)
    x, y, who = values["x_train"], values["y_train"], values["speaker_train"]
    last = np.zeros(len(y), bool)
    last[[np.flatnonzero(who == one)[-1] for one in np.unique(who)]] = True
    parts = {"train": ~last, "test": last}
    arrays = {f"{key}_{part}": of[rows] for part, rows in parts.items() for key, of in (("x", x), ("y", y))}
    groups = {"speaker_train": who[~last], "speaker_test": who[last]} | more
    np.savez(folder / "set.npz", **arrays, **groups, sample_rate=values["sample_rate"])
    return str(folder / "set.npz")


def test_a_test_set_that_shares_groups_with_the_training_set_moves(tmp_path: Path) -> None:
    path = grouped_file(tmp_path)
    plain, apart = load(path), load(path, preparation=Preparation(group="speaker"))
    assert set(plain.groups["speaker"]) == set(plain.test_groups["speaker"])
    parts = [set(apart.groups["speaker"][rows].tolist()) for rows in split_for_search(apart, 0.2, 3)]
    parts.append(set(apart.test_groups["speaker"].tolist()))
    assert all(parts) and sum(map(len, parts)) == len(set.union(*parts)) == 6  # three disjoint sets
    assert len(apart.y_train) + len(apart.y_test) == len(plain.y_train) + len(plain.y_test)
    assert len(apart.test_groups["speaker"]) == len(apart.y_test) and apart.digest != plain.digest
    assert "shares 6 of its 6 in 'speaker' with the training set: all of 1 of 6, " in apart.notes[-1]
    whole = sorted(np.concatenate([plain.x_train, plain.x_test]).ravel().tolist())
    assert sorted(np.concatenate([apart.x_train, apart.x_test]).ravel().tolist()) == whole
    words = load(path, preparation=Preparation(group="speaker", keywords=("0", "1")))
    assert len(words.y_test) < len(apart.y_test) and set(words.groups["speaker"]) == set(apart.groups["speaker"])


def test_a_test_set_of_other_groups_stays_and_one_of_unknown_groups_is_named(tmp_path: Path) -> None:
    values = load(grouped_file(tmp_path))
    other = load(
        grouped_file(tmp_path, speaker_test=np.full(6, "somebody else")), preparation=Preparation(group="speaker")
    )
    assert other.digest == values.digest and not other.notes
    unknown = load(grouped_file(tmp_path, speaker_test=np.zeros(2, int)), preparation=Preparation(group="speaker"))
    assert unknown.digest == values.digest and "is not known" in unknown.notes[-1]


def test_means_of_targets_follow_the_training_set_that_a_split_by_group_leaves(tmp_path: Path) -> None:
    x, who = np.zeros((12, 4, 4), np.float32), np.repeat(np.arange(4), 3)
    y, rows = who.astype(np.float32)[:, None], np.arange(12) % 3 == 2
    np.savez(tmp_path / "n.npz", x_train=x[~rows], y_train=y[~rows], x_test=x[rows], y_test=y[rows],
             who_train=who[~rows], who_test=who[rows], task="regression", data_kind="maps")  # fmt: skip
    data = load(str(tmp_path / "n.npz"), preparation=Preparation(group="who"))
    scale = data.task.rescaling()
    assert scale is not None and scale[0][0] == pytest.approx(data.y_train.mean()) != pytest.approx(1.5)


def test_a_split_by_group_follows_from_its_seed_and_keeps_every_class() -> None:
    groups, labels = np.array(list("aabbccdd")), np.array([0, 1] * 4)
    found = {tuple(grouped_split(groups, labels, 2, seed, "who")[1]) for seed in range(20)}
    assert {len(rows) for rows in found} == {2} and len(found) == 4
    assert all((a == b).all() for a, b in zip(*(grouped_split(groups, labels, 2, 5, "who") for _ in "xx"), strict=True))
    with pytest.raises(InvalidInput, match=r"who is the same of all 8 examples, a; a split needs two"):
        grouped_split(np.array(["a"] * 8), labels, 2, 0, "who")
    with pytest.raises(InvalidInput, match=r"who: class . has no example outside of"):
        grouped_split(np.array(list("aaaabbbb")), np.array([0] * 4 + [1] * 4), 4, 0, "who")


def test_other_words_become_unknown_and_silence_is_made_of_the_background(tmp_path: Path) -> None:
    words(tmp_path, per_class=10)
    noise = (np.arange(3 * SAMPLES) % 7 * 1000 - 3000).astype(np.int16)
    save_wave(tmp_path / "_background_noise_" / "hum.wav", noise)
    data = load(str(tmp_path), preparation=Preparation(keywords=("up", "left"), silence=True))
    assert data.class_names == ("up", "left", "unknown", "silence")
    assert np.bincount(data.y_train).tolist() == [8, 8, 8, 8] and np.bincount(data.y_test).tolist() == [2, 2, 2, 2]
    quiet = np.asarray(data.x_train)[data.y_train == 3][:, :, 0, 0].astype(float)
    loud = [row for row in quiet if np.ptp(row) > 200]
    assert loud and all(np.abs(row[7:] - row[:-7]).max() <= 1 for row in loud)  # the hum repeats after 7 samples
    assert len(data.groups["speaker"]) == len(data.y_train)
    again = load(str(tmp_path), preparation=Preparation(keywords=("up", "left"), silence=True))
    assert again.digest == data.digest
    alone = load(str(tmp_path), preparation=Preparation(silence=True))
    assert alone.class_names == (*WORDS, "silence")
    with pytest.raises(UnknownName, match="unknown class 'stop'; known: down, left, right, up"):
        load(str(tmp_path), preparation=Preparation(keywords=("stop",)))


def test_keywords_and_sound_augmentation_are_refused_for_images() -> None:
    for asked, message in (
        (Preparation(keywords=("1",)), "keywords and silence are for waveforms, digits holds images"),
        (Preparation(augment_noise=0.1), "gain and noise are for waveforms, digits holds images"),
        (Preparation(augment_time_mask=0.1), "masks of time and bands are for sounds, digits holds images"),
        (Preparation(sample_rate=8000), "digits has no Hz, not 8000"),
    ):
        with pytest.raises(InvalidInput, match=message):
            load("digits", preparation=asked)


def test_flags_of_augmentation_change_that_of_the_data(tmp_path: Path) -> None:
    asked = Preparation(augment_shift=0.2, augment_gain_db=3.0, augment_noise=0.0, augment_time_mask=0.3)
    found = load(save(tmp_path, tone_arrays()), preparation=asked).augmentation
    assert (found.shift_px_fraction, found.gain_db, found.noise, found.time_mask, found.band_mask) == (
        0.2,
        3,
        0,
        0.3,
        0.1,
    )


# --------------------------------------------------------------------------------------------------- tables of series


def table(folder: Path, **changes: str) -> str:
    """Write a table of 12 series of two channels by two wearers and return its path."""
    lines = ["series,label,wearer,ax,ay"]
    for n in range(12):
        steps = 7 if n == 0 else 4 if n == 1 else 5
        kind, wearer = ("walk", "run")[n % 2], ["ann", "bob", "cid"][n // 2 % 3]
        lines += [f"s{n},{kind},{wearer},{t + n},{0.5 * t * (n % 2)}" for t in range(steps)]
    path = folder / "moves.csv"
    text = "\n".join(lines)
    for old, new in changes.items():
        text = text.replace(old, new)
    path.write_text(text + "\n")
    return str(path)


def test_a_table_of_series_becomes_sequences(tmp_path: Path) -> None:
    data = load(table(tmp_path))
    assert (data.kind, data.size.height, data.channels, data.class_names) == ("sequences", 5, 2, ("run", "walk"))
    assert len(data.y_train) + len(data.y_test) == 12
    assert "2 of 12 series of other lengths are cut or held on to 5 steps, the median" in data.notes
    every = np.concatenate([np.asarray(data.x_train), np.asarray(data.x_test)])[:, :, 0, 0]
    assert [1.0, 2.0, 3.0, 4.0, 5.0] in every.tolist() and [1.0, 2.0, 3.0, 4.0, 4.0] in every.tolist()
    by_wearer = load(table(tmp_path), preparation=Preparation(group="wearer"))
    assert len(set(by_wearer.groups["wearer"].tolist())) == 2 and len(by_wearer.y_test) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "class"}, "lacks the column 'label'"),
        ({"s3,run": "s3,walk,more"}, "row .*: 5 columns are named, got 6"),
        ({"s2,walk,bob,3": "s2,run,bob,3"}, "'label' changes within the series 's2'"),
        ({"s2,walk,bob,3": "s2,walk,bob,nine"}, "series 's2' has a channel that is no number"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        load(table(tmp_path, **changes))
    assert "\n" not in str(error.value)


def test_a_split_by_group_of_a_loader_of_ones_own() -> None:
    x, y = tones(6)
    who = np.array(["a", "b"] * (len(y) // 2))
    data = build_dataset("mine", Labelled(x, y // 2), None, sample_rate=RATE, groups={"who": who}, group=None)
    assert len(data.groups["who"]) == len(data.y_train) < len(y) and len(PITCHES) == 4
