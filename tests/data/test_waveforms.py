"""Waveform data sets: arrays with a rate, .wav files, fsdd by name, lengths, augmentation."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nas.data import Augmentation, Labelled, Preparation, at_resolution, build_dataset, load, signature, to_input
from nas.data.dataset import OF_WAVEFORMS
from nas.data.input_spec import InputSpec
from nas.data.pipeline import augmented_input
from nas.data.waveform import as_samples, placed, read_wave, resampled
from nas.errors import InvalidInput
from tests.support.data_sets import save
from tests.support.sounds import RATE, SAMPLES, save_wave, tone_arrays, tones


def test_an_npz_with_a_rate_holds_waveforms(tmp_path: Path) -> None:
    values = tone_arrays()
    data = load(save(tmp_path, values))
    assert (data.kind, data.sample_rate, data.size.text) == ("waveforms", RATE, "400 steps")
    assert data.x_train.dtype == np.int16 and data.x_train.shape == (48, SAMPLES, 1, 1)
    assert data.size_text == "waveforms of 400 samples at 2,000 Hz (0.2 s)"
    assert data.class_names == ("low", "mid", "high", "top") and data.augmentation == OF_WAVEFORMS
    floats = load(save(tmp_path, values | {"x_train": values["x_train"] / 32768.0, "x_test": values["x_test"] / 32768}))
    assert (floats.x_train == data.x_train).all()
    assert load(save(tmp_path, values), preparation=Preparation(data_kind="waveforms")).digest == data.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((48, 400), np.int32)}, "x_train must hold waveforms as int16 or as floats within"),
        ({"x_train": np.full((48, 400), 2.0)}, "x_train must hold int16 samples, or finite floats within"),
        ({"x_train": np.zeros((48, 20, 20), np.int16)}, "must have the shape \\[N, T\\] to hold waveforms"),
        ({"sample_rate": np.array([1, 2])}, "sample_rate must be one whole number, in Hz"),
        ({"sample_rate": 0}, "sample_rate must be from 1 to 1,000,000 Hz, got 0"),
        ({"data_kind": np.array("maps")}, "waveforms, and they alone, have a sample_rate in Hz, got 2000 for maps"),
    ],
)
def test_what_is_no_waveform_is_refused_in_one_line(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        load(save(tmp_path, tone_arrays() | changes))
    assert "\n" not in str(error.value)


def test_waveforms_without_a_rate_are_refused() -> None:
    x, y = tones(4)
    with pytest.raises(InvalidInput, match="got None for waveforms"):
        build_dataset("tones", Labelled(x, y), None, kind="waveforms")


def test_fsdd_is_read_by_name(tmp_path: Path) -> None:
    x = tones(6)[0]
    digits = {"x_train": x, "y_train": np.arange(len(x)) % 10, "x_test": x[:10], "y_test": np.arange(10)}
    values = tone_arrays() | digits
    np.savez(tmp_path / "fsdd.npz", **{key: value for key, value in values.items() if key != "class_names"})
    data = load("fsdd", tmp_path)
    assert data.name == "fsdd" and data.class_names[3] == "three" and data.sample_rate == RATE
    with pytest.raises(InvalidInput, match=r"the Free Spoken Digit Dataset is not in .*nothing is downloaded"):
        load("fsdd", tmp_path / "elsewhere")


def test_the_input_is_the_samples_within_1_and_every_reader_agrees(tmp_path: Path) -> None:
    data = load(save(tmp_path, tone_arrays()))
    stated = signature(data, (SAMPLES, 1, 1)).input
    assert (stated.values, stated.sample_rate, stated.mean, stated.std) == ("waveform", RATE, (0.0,), (1.0,))
    assert InputSpec.from_dict(stated.to_dict()) == stated
    x = np.asarray(data.x_train[:3])
    inputs = np.asarray(to_input(jnp.asarray(x), *data.channel_stats, 1))
    assert inputs.dtype == np.float32 and np.array_equal(inputs, x / np.float32(32768))
    assert np.array_equal(stated.normalised(x), inputs) and np.array_equal(stated.normalised(inputs), inputs)


def test_other_lengths_are_cut_to_the_middle_or_lie_between_silence(tmp_path: Path) -> None:
    data = load(save(tmp_path, tone_arrays()))
    short, long = at_resolution(data, (300, 1)), at_resolution(data, (501, 1))
    assert (short.x_train[:, :, 0, 0] == data.x_train[:, 50:350, 0, 0]).all()
    assert (long.x_train[:, 51:451] == data.x_train).all() and not long.x_train[:, :51].any()
    assert (short.sample_rate, short.kind) == (RATE, "waveforms") and short.digest != data.digest
    assert short.notes[-1] == "400 samples are 300: cut to the middle" and short.augmentation == data.augmentation
    assert placed(np.arange(1, 5), 7).tolist() == [0, 0, 1, 2, 3, 4, 0]
    with pytest.raises(InvalidInput, match="holds waveforms of 400 steps, which are not 20 px"):
        at_resolution(data, 20)


# ------------------------------------------------------------------------------------------------------- .wav files


@pytest.mark.parametrize(("width", "tolerance"), [(1, 260), (2, 0), (3, 1), (4, 1)])
def test_wave_files_of_any_width_are_read(tmp_path: Path, width: int, tolerance: int) -> None:
    samples = tones(1)[0][2]
    stored = {
        1: ((samples >> 8) + 128).astype(np.uint8),
        2: samples,
        3: np.stack([np.zeros_like(samples), samples & 255, samples >> 8], 1).astype(np.uint8),
        4: samples.astype(np.int32) << 16,
    }[width]
    found, rate = read_wave(save_wave(tmp_path / "a.wav", stored, width=width))
    assert rate == RATE and found.dtype == np.int16
    assert np.abs(found.astype(int) - samples).max() <= tolerance


def test_stereo_becomes_mono_and_what_is_no_wave_is_named(tmp_path: Path) -> None:
    left, right = tones(1)[0][:2]
    path = save_wave(tmp_path / "b.wav", np.stack([left, right], 1), channels=2)
    assert np.abs(read_wave(path)[0] - (left.astype(int) + right) / 2).max() <= 0.5
    (tmp_path / "c.wav").write_bytes(b"RIFF, but no sound")
    with pytest.raises(InvalidInput, match=r"cannot read .*c\.wav as a \.wav file"):
        read_wave(tmp_path / "c.wav")
    whole = bytearray(save_wave(tmp_path / "d.wav", left).read_bytes())
    whole[40:44] = b"\xf0\xff\xff\xff"  # the header of a stream, which states no length
    (tmp_path / "d.wav").write_bytes(whole)
    assert np.array_equal(read_wave(tmp_path / "d.wav")[0], left)
    with pytest.raises(InvalidInput, match=r"e\.wav holds no samples"):
        read_wave(save_wave(tmp_path / "e.wav", np.zeros(0, np.int16)))


@pytest.mark.parametrize(("rate", "wanted"), [(8000, 16000), (16000, 8000), (8000, 11000), (44100, 16000)])
def test_a_resampled_sine_is_the_sine_at_the_other_rate(rate: int, wanted: int) -> None:
    hertz, seconds = 440, 0.1
    before = np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    after = resampled(before, rate, wanted)
    expected = np.sin(2 * np.pi * hertz * np.arange(round(seconds * wanted)) / wanted)
    assert after.shape == expected.shape
    np.testing.assert_allclose(after, expected, atol=1e-9)


def test_resampling_there_and_back_keeps_what_both_rates_hold() -> None:
    x = np.random.default_rng(0).standard_normal(400)
    np.testing.assert_allclose(resampled(resampled(x, 8000, 16000), 16000, 8000), x, atol=1e-9)
    assert as_samples(np.array([-2.0, 0.5, 2.0])).tolist() == [-32768, 16384, 32767]


# ----------------------------------------------------------------------------------------------------- augmentation


def augmented(augmentation: Augmentation, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return augmented tones [4, SAMPLES]."""
    x = jnp.asarray(tones(1)[0])[:, :, None, None]
    return np.asarray(augmented_input(jax.random.key(seed), x, augmentation, np.zeros(1), np.ones(1), 1))[..., 0, 0]


PLAIN = Augmentation(0.0)


def test_augmented_waveforms_follow_from_the_key_alone() -> None:
    x = tones(1)[0] / np.float32(32768)
    assert np.array_equal(augmented(PLAIN), x)
    assert np.array_equal(augmented(OF_WAVEFORMS), augmented(OF_WAVEFORMS))
    assert not np.array_equal(augmented(OF_WAVEFORMS), augmented(OF_WAVEFORMS, 1))


def test_each_augmentation_does_what_its_name_says() -> None:
    x = augmented(PLAIN)
    gain = augmented(replace(PLAIN, gain_db=6.0)) / x
    db = 20 * np.log10(np.median(gain, axis=1))
    assert (np.abs(db) <= 6).all() and np.ptp(db) > 0.5
    noise = (augmented(replace(PLAIN, noise=0.1)) - x).std(axis=1)
    assert (noise <= 0.11).all() and noise.max() > 0.01
    hidden = (augmented(replace(PLAIN, time_mask=0.5)) == 0) & (x != 0)
    assert 0 < hidden.sum(axis=1).max() <= SAMPLES // 2
    gaps = [np.flatnonzero(row) for row in hidden if row.any()]
    assert all(gap[-1] - gap[0] + 1 - len(gap) <= 3 for gap in gaps)  # one span, but for samples that were 0 anyway
    spectra = np.abs(np.fft.rfft(augmented(replace(PLAIN, band_mask=0.5)))) / np.abs(np.fft.rfft(x))
    gone = spectra < 1e-3
    assert 0 < gone.sum(axis=1).max() <= SAMPLES // 4 + 1 and np.allclose(spectra[~gone], 1, atol=1e-2)
    shifted = augmented(replace(PLAIN, shift_px_fraction=0.1))
    lags = [np.correlate(a, b, "full").argmax() - SAMPLES + 1 for a, b in zip(shifted, x, strict=True)]
    assert max(map(abs, lags)) <= 40


def test_masks_of_maps_hide_rows_and_columns() -> None:
    x = jnp.ones((3, 20, 10, 1))
    masked = Augmentation(0.0, time_mask=0.4, band_mask=0.4)
    y = np.asarray(augmented_input(jax.random.key(0), x, masked, np.zeros(1), np.ones(1), 1))[..., 0]
    rows, columns = (y == 0).all(axis=2).sum(axis=1), (y == 0).all(axis=1).sum(axis=1)
    assert rows.max() > 0 and columns.max() > 0 and rows.max() <= 9 and columns.max() <= 5
    kept = y[0][np.ix_(~(y[0] == 0).all(axis=1), ~(y[0] == 0).all(axis=0))]
    assert (kept == 1).all()


def test_augmentations_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"time_mask must lie between 0 and 0\.5, got 0\.6"):
        Augmentation(0.0, time_mask=0.6)
    with pytest.raises(InvalidInput, match="gain_db must lie between 0 and 40, got 41"):
        Augmentation(0.0, gain_db=41)
