"""Data sets in folders of .wav files: folder/<class>/<sound>.wav, with parts as in folders of images, or with lists.

The lists are those of Speech Commands (Warden, arXiv 1804.03209): validation_list.txt and testing_list.txt beside the
class folders name their files, "right/a69b9b3e_nohash_0.wav". Folders whose name begins with "_" are no classes;
"_background_noise_" holds recordings of noise. What stands in front of "_nohash_" in a file's name is its speaker.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import Dataset, Groups, Labelled, build_dataset
from nas.data.folder import TEST_FRACTION, find_layout
from nas.data.waveform import placed, read_wave
from nas.errors import InvalidInput
from nas.files import check_memory

SUFFIX = ".wav"
VALIDATION_LIST, TESTING_LIST = "validation_list.txt", "testing_list.txt"
NOISE = "_background_noise_"
OF_SPEAKER = "_nohash_"  # behind the speaker in a file's name
SPEAKER = "speaker"
LOOKED_AT = 256  # paths in a folder, to tell whether it holds sounds
Samples = NDArray[np.int16]


def holds_sounds(folder: Path) -> bool:
    """Return whether `folder` is one of class folders of .wav files, with parts above or below them or without."""
    below = [one for one in _first(folder) if one.is_dir()]
    deeper = (inner for one in below for inner in _first(one) if inner.is_dir())
    return any(path.suffix.lower() == SUFFIX for one in chain(below, deeper) for path in _first(one))


def _first(folder: Path) -> list[Path]:
    """Return the first paths in a folder, so that large ones are not read through; none where it cannot be read."""
    try:
        return list(islice(folder.iterdir(), LOOKED_AT))
    except OSError:  # what reads it then says so
        return []


def load_sounds(
    folder: Path, sample_rate: int | None = None, clip_seconds: float | None = None, group: str | None = None
) -> Dataset:
    """Return the sounds below `folder` as waveforms at one rate and of one length.

    Channels are averaged. All files must have one rate, or are resampled to `sample_rate` (`waveform.resampled`). The
    length is `clip_seconds`, else that of the longest: of longer ones the middle is taken, shorter ones lie between
    silence. Without a test part, a fixed 20 % becomes the test set: stratified, or with a `group` ("speaker") other
    groups than those of the training set. Raises `InvalidInput`, naming the file or folder at fault.
    """
    names, train, test, validation = _listed(folder)
    files = [path for path, _ in (*train, *test)]
    sounds, rate = _read(files, sample_rate)
    length = max(map(len, sounds)) if clip_seconds is None else max(1, round(clip_seconds * rate))
    check_memory(2 * length * len(sounds), str(folder))
    x = np.stack([placed(one, length) for one in sounds])
    y = np.array([names.index(name) for _, name in (*train, *test)], np.int32)
    cut = len(train)
    dataset = build_dataset(
        str(folder), Labelled(x[:cut], y[:cut]), Labelled(x[cut:], y[cut:]) if test else None, class_names=names,
        test_fraction=TEST_FRACTION, notes=_length_note(sounds, length, rate), sample_rate=rate,
        groups=_speakers([path for path, _ in train]), group=group,
        test_groups=_speakers([path for path, _ in test]) if test else None,
    )  # fmt: skip
    noise = sorted((folder / NOISE).glob(f"*{SUFFIX}"))
    background = tuple(read_wave(path, rate)[0] for path in noise)
    fixed = np.array([path in validation for path, _ in train], bool) if validation else None
    return replace(dataset, background=background, validation=fixed)


Found = list[tuple[Path, str]]  # files with their classes


def _listed(folder: Path) -> tuple[tuple[str, ...], Found, Found, frozenset[Path]]:
    """Return (class names, training files, test files, those of the training files that are listed for validation)."""
    testing, validation = (_list(folder, name) for name in (TESTING_LIST, VALIDATION_LIST))
    layout = find_layout(folder)
    parts = {
        part: [(path, name) for name, inside in pairs if not name.startswith("_") for path in _sounds(inside)]
        for part, pairs in layout.parts.items()
    }
    train, test = parts["train"], parts.get("test", [])
    if testing or validation:
        test += [one for one in train if one[0] in testing]
        train = [one for one in train if one[0] not in testing]
    names = tuple(sorted({name for _, name in train}))
    if unknown := sorted({name for _, name in test} - set(names)):
        raise InvalidInput(f"{folder} has test sounds of '{unknown[0]}', but no training sounds; add them")
    if len(names) < 2:
        raise InvalidInput(f"{folder} must hold two or more class folders of {SUFFIX} files, got {len(names)}")
    return names, train, test, validation


def _sounds(folder: Path) -> list[Path]:
    """Return the .wav files in a class folder, sorted; `InvalidInput` where there are none."""
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() == SUFFIX and not p.name.startswith("."))
    if not found:
        raise InvalidInput(f"{folder} holds no {SUFFIX} files; add or remove it")
    return found


def _list(folder: Path, name: str) -> frozenset[Path]:
    """Return the files that a list names, none where there is no list; `InvalidInput` for a file that is not there."""
    path = folder / name
    if not path.is_file():
        return frozenset()
    found = {folder / line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()}
    if absent := sorted(one for one in found if not one.is_file()):
        raise InvalidInput(f"{path} names {absent[0].relative_to(folder)}, which is not there; fetch it again")
    return frozenset(found)


def _read(files: Sequence[Path], sample_rate: int | None) -> tuple[list[Samples], int]:
    """Return the samples of all files and their rate."""
    first, sounds = None, []
    for path in files:
        samples, rate = read_wave(path, sample_rate)
        if first is None:
            first = path, rate
        if rate != first[1]:
            raise InvalidInput(
                f"{path} has {rate} Hz, but {first[0]} has {first[1]} Hz; --sample-rate {min(rate, first[1])} resamples"
            )
        sounds.append(samples)
    assert first is not None
    return sounds, first[1]


def _length_note(sounds: Sequence[Samples], length: int, rate: int) -> tuple[str, ...]:
    """Return the note on sounds of other lengths."""
    longer, shorter = sum(len(one) > length for one in sounds), sum(len(one) < length for one in sounds)
    parts = [f"{longer:,} are cut to the middle"] * (longer > 0) + [f"{shorter:,} lie between silence"] * (shorter > 0)
    return (f"of {len(sounds):,} sounds {' and '.join(parts)} for {length / rate:.3g} s",) if parts else ()


def _speakers(files: Sequence[Path]) -> Groups:
    """Return the speakers of the files as a group, none where some file does not name one."""
    named = [path.name.partition(OF_SPEAKER) for path in files]
    if not all(between for _, between, _ in named):
        return {}
    return {SPEAKER: np.array([speaker for speaker, _, _ in named])}
