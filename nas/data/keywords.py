"""Keyword spotting: few words as classes, all others as one, "unknown", and silence, of a data set of waveforms."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nas.data.dataset import Array, Dataset, Labelled, Labels, build_dataset
from nas.data.split import permutation
from nas.data.waveform import FULL_SCALE
from nas.errors import InvalidInput, unknown_name

UNKNOWN, SILENCE = "unknown", "silence"
QUIET = 0.01  # largest standard deviation of the noise that silence is made of, where no recording of it came


def spotting(dataset: Dataset, keywords: Sequence[str], *, silence: bool) -> Dataset:
    """Return a data set of waveforms whose classes are the `keywords`, "unknown" and, with `silence`, "silence".

    Of the words that are no keywords a part becomes "unknown", the same at every call: as many as a keyword has on
    average, in the training set and in the test set each. As many examples of silence are pieces of the background
    noise that came with the data, at any loudness, else quiet white noise. Without keywords all words stay classes.
    `InvalidInput` for data that are no waveforms, `UnknownName` for a word that is no class.
    """
    has = f"{dataset.name} holds {dataset.kind}"
    if not dataset.is_waveforms:
        raise InvalidInput(f"keywords and silence are for waveforms, {has}; leave them out")
    for word in keywords:
        if word not in dataset.class_names:
            raise unknown_name("class", word, dataset.class_names)
    kept = tuple(keywords) or dataset.class_names
    others = len(kept) < dataset.num_classes
    names = (*kept, *([UNKNOWN] if others else []), *([SILENCE] if silence else []))
    if len(set(names)) < len(names):
        raise InvalidInput(f"{dataset.name} has a class named {UNKNOWN} or {SILENCE} already; rename it")
    number = np.full(dataset.num_classes, len(kept), np.int32)
    number[[dataset.class_names.index(word) for word in kept]] = np.arange(len(kept))
    parts, rows_of_train = [], np.zeros(0, np.int32)
    for part, (x, y) in enumerate(((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test))):
        rows, labels = _rows(number[y], len(kept), part)
        found, count = np.asarray(x)[rows], _mean_count(labels, len(kept))
        if part == 0:
            rows_of_train = rows
        if silence:
            found = np.concatenate([found, _silence(dataset, count, part)])
            labels = np.concatenate([labels, np.full(count, len(names) - 1, np.int32)])
        parts.append(Labelled(found, labels))
    train, test = parts
    made = build_dataset(
        dataset.name, train, test, class_names=names, augmentation=dataset.augmentation, notes=dataset.notes,
        sample_rate=dataset.sample_rate,
    )  # fmt: skip
    extra = len(made.y_train) - len(rows_of_train)
    groups = {key: np.concatenate([of[rows_of_train], _spread(of, extra)]) for key, of in dataset.groups.items()}
    fixed = dataset.validation
    if fixed is not None:
        fixed = np.concatenate([fixed[rows_of_train], np.arange(extra) % 10 == 0])
    return replace(made, groups=groups, validation=fixed)


def _rows(numbers: Labels, keywords: int, part: int) -> tuple[Any, Labels]:
    """Return (rows, labels) of all examples of keywords and of a part of the others, in the order of the data."""
    is_other = numbers == keywords
    others = np.flatnonzero(is_other)
    count = min(len(others), _mean_count(numbers[~is_other], keywords))
    chosen = others[permutation(len(others), part)[:count]] if count else others
    rows = np.sort(np.concatenate([np.flatnonzero(~is_other), chosen]))
    return rows, numbers[rows]


def _mean_count(labels: Labels, keywords: int) -> int:
    """Return how many examples a keyword has on average, at least one."""
    return max(1, round(int((labels < keywords).sum()) / keywords))


def _spread(of: Array, count: int) -> Array:
    """Return a group for each of so many examples of silence: all groups in turn."""
    names = np.unique(of)
    return names[np.arange(count) % len(names)]


def _silence(dataset: Dataset, count: int, part: int) -> Array:
    """Return so many examples of silence, int16 [count, T, 1, 1], the same at every call."""
    rng, samples = np.random.Generator(np.random.PCG64([part, count])), dataset.size.height
    long_enough = [one for one in dataset.background if len(one) >= samples]
    found = np.empty((count, samples), np.float64)
    for i, loudness in enumerate(rng.random(count)):
        if long_enough:
            noise = long_enough[i % len(long_enough)]
            start = int(rng.random() * (len(noise) - samples + 1))
            found[i] = noise[start : start + samples] * loudness
        else:
            found[i] = rng.standard_normal(samples) * (loudness * QUIET * FULL_SCALE)
    limits = -FULL_SCALE, FULL_SCALE - 1
    return np.clip(np.rint(found), *limits).astype(np.int16).reshape(count, samples, 1, 1)
