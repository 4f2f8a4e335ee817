"""Splits by group: a test set of other speakers, wearers or patients than the training set."""

from dataclasses import replace

import numpy as np

from nas.data.dataset import Dataset, checked_group, digest_of, split_rows
from nas.tasks import TASKS, task_of

SEED = 0  # of the split, the same for every search


def apart_in(dataset: Dataset, group: str) -> Dataset:
    """Return `dataset` with a test set that shares no value of `group` with the training set; a note says if it moved.

    A test set that came with the data is kept where it has other values, and where nothing is known of it, which a note
    says. Else all examples of some values become the test set, about as many as it had, of the two sets together; what
    the authors chose to validate with no longer counts. `InvalidInput` where the data have no such group, or one value.
    """
    of = checked_group(dataset.name, dataset.groups, group)
    assert of is not None
    of_test = dataset.test_groups.get(group)
    if of_test is None:
        note = (
            f"whether the test set shares '{group}' with the training set is not known: the data do not say it (an "
            f".npz file does with {group}_test)"
        )
        return replace(dataset, notes=(*dataset.notes, note))
    shared, known = np.intersect1d(of, of_test), np.unique(of_test)
    if not len(shared):
        return dataset
    x, y = (
        np.concatenate([np.asarray(train), np.asarray(test)])
        for train, test in ((dataset.x_train, dataset.x_test), (dataset.y_train, dataset.y_test))
    )
    every = np.concatenate([of, of_test])
    rows = split_rows(dataset.task, y, len(of_test), SEED, every, f"{dataset.name}: {group}")
    arrays = tuple(array[one] for one in rows for array in (x, y))
    for array in arrays:
        array.setflags(write=False)
    both = {key: np.concatenate([values, dataset.test_groups[key]]) for key, values in dataset.groups.items()
            if key in dataset.test_groups}  # fmt: skip
    kept, held = (len(np.unique(every[one])) for one in rows)
    note = (
        f"the test set that came with the data shares {len(shared)} of its {len(known)} in '{group}' with the training "
        f"set: all of {held} of {kept + held}, {len(rows[1]):,} examples, are the test set instead"
    )
    task = dataset.task
    if task.rescaling() is not None and task.kind in TASKS:  # means and deviations are those of the training set
        task = task_of(task.kind, arrays[1])
    return replace(
        dataset, x_train=arrays[0], y_train=arrays[1], x_test=arrays[2], y_test=arrays[3], digest=digest_of(arrays),
        notes=(*dataset.notes, note), groups={key: values[rows[0]] for key, values in both.items()},
        test_groups={key: values[rows[1]] for key, values in both.items()}, validation=None, task=task,
    )  # fmt: skip
