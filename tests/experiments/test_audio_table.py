"""The audio table is what its space says, and the studies on it rest on its numbers."""

import numpy as np
import pytest

from experiments.audio_bottleneck import front_share, on_map, over_time
from experiments.audio_strategies import Listed, Table, volumes
from experiments.audio_table import BANDS, EPOCHS, EVERY, RATE, SPACES_OF_TABLE, drawn, log_mel, trainings


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    return trainings()


def test_the_table_has_256_trained_networks_of_each_space(rows: list[dict[str, object]]) -> None:
    for name, space in SPACES_OF_TABLE.items():
        own = [row for row in rows if row["space"] == name and row["seed"] == 0]
        assert len({row["digest"] for row in own}) == len(own) >= 256
        assert [row["genotype"] for row in own[:3]] == drawn(space, 3).tolist()
        for row in own[:5]:
            assert space.decode(row["genotype"]).digest == row["digest"]  # type: ignore[arg-type]
            assert len(row["unseen"]) == EPOCHS // EVERY  # type: ignore[arg-type]


def test_a_sine_lies_in_its_band_and_silence_in_none() -> None:
    time = np.arange(RATE) / RATE
    tones = np.stack([0.5 * np.sin(2 * np.pi * hertz * time) for hertz in (300, 1000, 3000)])
    found = log_mel((32767 * np.concatenate([tones, np.zeros((1, RATE))])).astype(np.int16))
    assert found.shape == (4, 25, BANDS)
    bands = found[:3].mean(1).argmax(1)
    assert (np.diff(bands) > 0).all() and np.ptp(found[3]) == 0


def test_searches_propose_networks_of_the_table_alone_and_find_some_of_its_front(rows: list[dict[str, object]]) -> None:
    table = Table.of("audio-1d", rows, "cortex-m7")
    assert Listed(table).feasible(table.genotypes).all()
    curve, epochs = volumes(table, "hybrid", 0, 24)
    stopped, fewer = volumes(table, "hybrid", 0, 24, early=True)
    assert 0.5 < curve[0] <= curve[1] <= curve[2] <= 1 and 0.5 < stopped[-1] <= 1
    assert epochs == 1 and 1 / 3 <= fewer < 1


def test_many_filters_on_the_spectrogram_are_the_bottleneck_and_bands_as_channels_are_not() -> None:
    few, many, flat = on_map(8), on_map(64), over_time()
    assert front_share(few) < 0.2 and front_share(many) > 0.7
    assert many.macs > 4 * few.macs and many.peak_activation_elements > 7 * few.peak_activation_elements
    assert flat.macs < few.macs and flat.peak_activation_elements < 0.4 * few.peak_activation_elements
