"""Free Spoken Digit Dataset: 3,000 recordings of the digits 0 to 9 by six speakers, 8 kHz, 16 bits.

Jackson and others, https://github.com/Jakobovski/free-spoken-digit-dataset (CC BY-SA 4.0). The official split: the
first five takes of every speaker and digit are the test set, so it shares all speakers with the training set:
`--group speaker` takes other speakers instead (`nas.data.grouped`).
"""

from pathlib import Path

from nas.data.dataset import Dataset, build_dataset
from nas.data.local import missing
from nas.data.npz import read_archive, stated_rate
from nas.errors import InvalidInput

CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FILE = "fsdd.npz"
TITLE = "the Free Spoken Digit Dataset"
KEYS = "x_train, y_train, x_test, y_test and sample_rate, speaker_train and speaker_test to split by speaker"


def load_fsdd(folder: Path) -> Dataset:
    """Return the recordings in fsdd.npz in `folder`: waveforms [N, T] with labels, rate and, if there, speakers."""
    path = folder / FILE
    if not path.is_file():
        raise missing(TITLE, folder, f"{FILE} ({KEYS})")
    archive = read_archive(path)
    rate = stated_rate(archive)
    if rate is None:
        raise InvalidInput(f"{path} lacks sample_rate; of {TITLE} it holds {KEYS}")
    return build_dataset(
        "fsdd", archive.labelled("train"), archive.labelled("test"), class_names=CLASS_NAMES, sample_rate=rate,
        groups=archive.groups, test_groups=archive.test_groups,
    )  # fmt: skip
