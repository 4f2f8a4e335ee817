"""The log-mel front end: equal to numpy's rfft, a sine in its band, Parseval, its costs, options and refusals."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.nn.layers import stored_statistics
from nas.nn.network import block_of, weight_shapes
from nas.ops import Conv, Head, LogMel, Shape
from nas.ops.choices import Site
from nas.ops.conv import ConvChoices
from nas.ops.log_mel import LogMelChoices
from nas.ops.mel import fft_size_of, filter_bank, hertz_of_mel, mel_numbers, mel_of_hertz
from nas.space.compound import compound_scaled
from nas.space.forms import Single
from nas.space.scaling import scale_down, with_input
from nas.space.staged import StagedSpace

SPEECH = LogMel(8000, window=200, hop=80, bands=40)  # 25 ms every 10 ms
SETTINGS = [
    SPEECH,
    LogMel(16000, window=400, hop=160, bands=64, lower_hz=50, upper_hz=7600),
    LogMel(16000, window=64, hop=32, bands=26, layout="sequence", epsilon=1e-3),
    LogMel(8000, window=25, hop=25, bands=5, fft_size=50),
    replace(SPEECH, transform="fft"),
    LogMel(16000, window=300, hop=160, bands=64, lower_hz=50, fft_size=1024, layout="sequence", transform="fft"),
]


def computed(op: LogMel, waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the Flax block computes for waveforms [N, T]: [N, frames, bands]."""
    block = block_of(op, 1, rngs=nnx.Rngs(0), padding="symmetric", norm_eps=1e-5)
    found = block(jnp.asarray(waveforms)[:, :, None, None], stored_statistics)
    assert found.shape[1:] == tuple(op.out_shape(Shape(waveforms.shape[1], 1, 1)))
    return np.asarray(found[..., 0] if op.layout == "map" else found[:, :, 0])


def independent(op: LogMel, waveforms: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the same by numpy.fft.rfft in double precision, the triangles by interpolation of their corners."""
    starts = range(0, waveforms.shape[1] - op.window + 1, op.hop)
    frames = np.stack([waveforms[:, start : start + op.window] for start in starts], 1).astype(np.float64)
    window = np.sin(np.pi * np.arange(op.window) / op.window) ** 2
    size = op.fft_size or 2 ** int(np.ceil(np.log2(op.window)))
    power = np.abs(np.fft.rfft(frames * window, size)) ** 2
    low, high = (2595 * np.log10(1 + f / 700) for f in (op.lower_hz, op.upper_hz or op.sample_rate / 2))
    corners = 700 * (10 ** (np.linspace(low, high, op.bands + 2) / 2595) - 1)
    hertz = np.fft.rfftfreq(size, 1 / op.sample_rate)
    bands = [np.interp(hertz, corners[b : b + 3], [0, 1, 0], left=0, right=0) for b in range(op.bands)]
    return np.asarray(np.log(power @ np.stack(bands, 1) + op.epsilon) - np.log(op.epsilon))


@pytest.mark.parametrize("op", SETTINGS, ids=lambda op: f"{op.sample_rate}-{op.window}-{op.transform}")
def test_it_equals_numpys_rfft_to_1e_minus_5(op: LogMel) -> None:
    rng = np.random.default_rng(0)
    loud = rng.uniform(-1, 1, (2, 1000)).astype(np.float32) * np.array([[1.0], [1e-3]], np.float32)
    expected = independent(op, loud)
    assert np.abs(computed(op, loud) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_silence_is_0_as_padding_is() -> None:
    assert (computed(SPEECH, np.zeros((1, 400), np.float32)) == 0).all()


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 3000.0])
def test_the_energy_of_a_sine_lies_in_its_band(hertz: float) -> None:
    sine = np.sin(2 * np.pi * hertz * np.arange(800) / 8000)[None].astype(np.float32)
    power = np.expm1(computed(SPEECH, sine)[0].astype(np.float64))
    centres = np.linspace(0, mel_of_hertz(4000.0), SPEECH.bands + 2)[1:-1]
    nearest = int(np.abs(centres - mel_of_hertz(hertz)).argmin())
    assert (np.abs(power.argmax(axis=1) - nearest) <= 1).all()
    assert (power[:, max(0, nearest - 2) : nearest + 3].sum(axis=1) > 0.99 * power.sum(axis=1)).all()


def test_the_dft_keeps_the_energy_of_a_frame() -> None:
    """Parseval: the squares of all bins but the first and the last, twice, are those of the windowed samples."""
    window = 64
    dft, _, first = mel_numbers(8000, window, 200, 64, 0, 4000)
    assert first == 1 and dft.shape == (64, 2 * 31)  # no band reads 0 Hz and half of the sample rate
    frame = np.random.default_rng(1).standard_normal(window)
    windowed = frame * np.sin(np.pi * np.arange(window) / window) ** 2
    ends = windowed.sum() ** 2 + (windowed * (-1) ** np.arange(window)).sum() ** 2
    assert (2 * np.square(frame @ dft).sum() + ends) / window == pytest.approx(np.square(windowed).sum(), rel=1e-12)


def test_mel_is_htks_and_triangles_overlap_to_one() -> None:
    assert mel_of_hertz(700.0) == pytest.approx(2595 * np.log10(2))
    assert hertz_of_mel(mel_of_hertz(440.0)) == pytest.approx(440)
    bank = filter_bank(16000, 2048, 20, 100, 7000)
    edges = hertz_of_mel(np.linspace(mel_of_hertz(100), mel_of_hertz(7000), 22))
    hertz = np.arange(1025) * 16000 / 2048
    inside = (hertz >= edges[1]) & (hertz <= edges[-2])
    np.testing.assert_allclose(bank.sum(axis=1)[inside], 1, atol=1e-9)
    assert [fft_size_of(n) for n in (1, 2, 3, 200, 256, 257)] == [1, 2, 4, 256, 256, 512]


def test_its_costs_are_the_networks_and_windows_behind_a_map_are_square() -> None:
    arch = ArchSpec(Shape(8000, 1, 1), ((SPEECH, Conv(8, 3, 2)),), Head(), 10)
    dft, mel, conv, *_ = arch.kernels
    frames, bins = (8000 - 200) // 80 + 1, len(SPEECH.numbers.mel)
    assert (dft.macs, mel.macs) == (frames * 200 * 2 * bins, frames * (2 * bins + 40 * bins))
    assert dft.params == mel.params == 0 and dft.weights == 200 * 2 * bins and mel.weights == 40 * bins
    assert dft.live_elements == mel.live_elements == 8000 + 2 * bins + frames * 40  # one frame's spectrum at a time
    assert dft.window == (200, 1) and conv.window == (3, 3) and conv.in_shape == Shape(frames, 40, 1)
    assert arch.sequences == (True, False, False)
    assert arch.macs == sum(kernel.macs for kernel in arch.kernels)


def test_an_fft_costs_less_than_the_matrix_product_and_gives_its_values() -> None:
    by_fft = replace(SPEECH, transform="fft")
    shape = Shape(8000, 1, 1)
    fft, mel = by_fft.lower(shape)
    frames, bins = 98, len(SPEECH.numbers.mel)
    each = 5 * 256 * 8 // 2  # 5/2 N log2 N
    triangles = (by_fft.numbers.mel > 0).sum()
    assert fft.macs == frames * (200 + each) and mel.macs == frames * (2 * bins + triangles)
    assert triangles <= 2 * bins  # at most two triangles overlap
    assert fft.weights == 200 + 256 and mel.weights == triangles and fft.params == mel.params == 0
    whole = [sum(kernel.macs for kernel in op.lower(shape)) for op in (by_fft, SPEECH)]
    assert 0.09 < whole[0] / whole[1] < 0.11  # a tenth
    arch = ArchSpec(shape, ((SPEECH, Conv(8, 3, 2)),), Head(), 10)
    other = replace(arch, stages=((by_fft, *arch.stages[0][1:]),))
    assert "transform" not in SPEECH.to_dict() and arch.digest != other.digest
    assert ArchSpec.from_dict(other.to_dict()) == other
    assert by_fft.describe(shape) == "log mel, 40 bands, 25 ms every 10 ms, 8000 Hz, FFT"


def test_bands_as_channels_are_a_sequence() -> None:
    op = LogMel(8000, 200, 80, 40, "sequence")
    arch = ArchSpec(Shape(8000, 1, 1), ((op, Conv(8, 3, 2)),), Head(), 10)
    assert arch.kernels[2].window == (3, 1) and arch.kernels[2].in_shape == Shape(98, 1, 40)
    assert weight_shapes(arch)["0.1.conv.weight"] == (3, 1, 40, 8)


@pytest.mark.parametrize("layout", ["map", "sequence"])
def test_the_block_keeps_the_dtype_and_computes_in_float32(layout: str) -> None:
    op = LogMel(8000, 200, 80, 40, layout)  # type: ignore[arg-type]
    block = block_of(op, 1, rngs=nnx.Rngs(0), padding="symmetric", norm_eps=1e-5)
    sound = jax.random.uniform(jax.random.key(0), (1, 400, 1, 1), jnp.bfloat16)
    found = block(sound, stored_statistics)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found, block(sound.astype(jnp.float32), stored_statistics), rtol=2**-8)


def test_proxies_keep_the_front_end_and_the_strides_behind_it() -> None:
    arch = ArchSpec(Shape(4000, 1, 1), ((SPEECH, Conv(16, 3, 2), Conv(16, 3, 2)),), Head(), 10)
    proxy = scale_down(arch, (2000, 1), 0.5)
    assert proxy.stages[0] == (SPEECH, Conv(8, 3, 2), Conv(8, 3, 2)) and proxy.input_shape == Shape(2000, 1, 1)
    with pytest.raises(InvalidInput, match="takes at least one window of 200 samples, got 100"):
        with_input(arch, (100, 1), 1, 10)


def test_compound_scaling_keeps_the_waveform_and_the_front_end() -> None:
    for layout in ("map", "sequence"):
        front = LogMel(8000, window=200, hop=80, bands=40, layout=layout)  # type: ignore[arg-type]
        arch = ArchSpec(Shape(4000, 1, 1), ((front, Conv(16, 3, 2)),), Head(), 10)
        large = compound_scaled(arch, 2.0)
        assert large.stages[0] == (front, Conv(24, 3, 2)) and large.input_shape == arch.input_shape


def test_options_of_a_front_end_are_read_back_and_cost_what_their_networks_cost() -> None:
    ears = LogMelChoices(8000, windows_ms=(16.0, 25.0), hops_ms=(10.0, 20.0), bands=(32, 40))
    space = StagedSpace(
        "ears", Shape(4000, 1, 1), 4, (Single("front", ears, filters=(1,)), Single("stem", ConvChoices(), (8, 16), 2))
    )
    assert ears.build({"windowms": 25.0, "hopms": 10.0, "bands": 40}, Site(1, 1)) == SPEECH
    assert [decision.name for decision in space.decisions] == [
        "front.windowms", "front.hopms", "front.bands", "stem.filters",
    ]  # fmt: skip
    assert space.size() == 16 and len(space.fronts) == 8
    for genotype in np.ndindex(2, 2, 2, 2):
        arch = space.decode(genotype)
        assert space.encode(arch) == genotype
        kernels = [kernel for term in space.cost_terms for kernel in term.kernels(genotype)]
        assert [(k.macs, k.params, k.live_elements) for k in kernels] == [
            (k.macs, k.params, k.live_elements) for k in arch.kernels
        ]
        assert space.proxy((4000, 1), 0.5).decode(genotype) == scale_down(arch, (4000, 1), 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"upper_hz": 4001}, "log_mel.upper_hz must be at most half of the 8000 Hz, got 4001"),
        ({"lower_hz": 3000, "upper_hz": 3000}, "log_mel.lower_hz must lie below upper_hz, 3000, got 3000"),
        ({"fft_size": 128}, "log_mel.fft_size must be 0, or at least the window 200, got 128"),
        ({"window": 9000}, "log_mel.window and fft_size must be at most 8192, got 9000"),
        ({"fft_size": 300, "transform": "fft"}, "log_mel.fft_size must be a power of two for an FFT, got 300"),
        ({"transform": "dct"}, "log_mel.transform must be one of matmul, fft, got 'dct'"),
        ({"epsilon": 0.0}, "log_mel.epsilon must be above 0 and finite, got 0.0"),
        ({"hop": 0}, "log_mel.hop must be at least 1, got 0"),
    ],
)
def test_what_is_no_front_end_is_refused_in_one_line(values: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        LogMel(**({"sample_rate": 8000, "window": 200, "hop": 80, "bands": 40} | values))  # type: ignore[arg-type]
    assert str(error.value) == message


def test_a_front_end_takes_a_waveform_and_stands_first() -> None:
    with pytest.raises(InvalidInput, match="log_mel takes a waveform T x 1 x 1, got 400 x 1 x 2"):
        ArchSpec(Shape(400, 1, 2), ((SPEECH,),), Head(), 3)
    late = (Single("stem", ConvChoices(), (8,)), Single("front", LogMelChoices(8000), filters=(1,)))
    with pytest.raises(InvalidInput, match="a front end must be a single block, the first of the space, got front"):
        StagedSpace("late", Shape(400, 1, 1), 3, late)
