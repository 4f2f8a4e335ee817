"""Log-mel front end: a waveform becomes a spectrogram within the network, so that its cost is the network's."""

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.ops import fields
from nas.ops.base import Op
from nas.ops.choices import Choice, Choices, Site, Values
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import Kernel, Shape
from nas.ops.mel import MelNumbers, fft_size_of, hann, mel_numbers

Layout = Literal["map", "sequence"]
Transform = Literal["matmul", "fft"]  # how the DFT is computed
LARGEST_FFT = 8192  # samples of a window: half a second at 16 kHz


@dataclass(frozen=True)
class LogMel(Op):
    """Log-mel spectrogram of a waveform T x 1 x 1 within [-1, 1]: log((power of a band + epsilon) / epsilon).

    Frames of `window` samples every `hop`, the whole ones alone; periodic Hann window; squared magnitude of the DFT of
    `fft_size` samples (0: the smallest power of two that holds the window); `bands` triangles on HTK's mel scale from
    `lower_hz` to `upper_hz` (0: half of the sample rate). `layout` "map" gives frames x bands x 1, whose windows behind
    are k x k, "sequence" frames x 1 x bands. It has no trainable parameters, and a proxy keeps it as it is.

    The division by epsilon, a constant -log(epsilon) of the result, makes silence 0, as are the zeros of padding and
    of masks. Costs are those of a loop over frames, as microcontrollers run a front end: of the spectra, one frame's is
    alive, beside the waveform and the result. Exported graphs hold all frames' at once; their values are the same.

    `transform` says how the DFT is computed: as a product with its matrix, or by a real FFT (of a power of two), as
    signal libraries do. The values are the same; costs and exported graphs differ. An FFT of N samples counts as
    5/2 N log2 N real operations (fftw.org/speed/method.html; half of a complex one), the triangles behind it as one
    product for each bin of each, and every operation as a MAC: measured, an operation of CMSIS-DSP's FFT of 128 to
    1,024 points takes 1.5 to 1.6 cycles on a Cortex-M7 (community.nxp.com, "How to improve i.MX RT1024 RFFT execution
    time"), a MAC of a keyword spotter 1.8 (experiments/published_energy.py).
    """

    tag: ClassVar[str] = "log_mel"
    fields_added_later: ClassVar[frozenset[str]] = frozenset({"transform"})
    is_front_end: ClassVar[bool] = True
    sample_rate: int = fields.count()
    window: int = fields.count()
    hop: int = fields.count()
    bands: int = fields.count()
    layout: Layout = fields.choice(Layout, "map")
    lower_hz: int = fields.optional_count(0)
    upper_hz: int = fields.optional_count(0)
    fft_size: int = fields.optional_count(0)
    epsilon: float = fields.positive_number(1e-6)
    transform: Transform = fields.choice(Transform, "matmul")

    def check(self) -> None:
        upper = self.upper_hz or self.sample_rate // 2
        if upper > self.sample_rate / 2:
            raise InvalidInput(f"log_mel.upper_hz must be at most half of the {self.sample_rate} Hz, got {upper}")
        if self.lower_hz >= upper:
            raise InvalidInput(f"log_mel.lower_hz must lie below upper_hz, {upper}, got {self.lower_hz}")
        if self.fft_size and self.fft_size < self.window:
            raise InvalidInput(f"log_mel.fft_size must be 0, or at least the window {self.window}, got {self.fft_size}")
        if max(self.window, self.fft_size) > LARGEST_FFT:
            raise InvalidInput(f"log_mel.window and fft_size must be at most {LARGEST_FFT}, got {self.window}")
        if self.transform == "fft" and self.fft_length & (self.fft_length - 1):
            raise InvalidInput(f"log_mel.fft_size must be a power of two for an FFT, got {self.fft_length}")
        if self.bands > LARGEST_FFT // 2:
            raise InvalidInput(f"log_mel.bands must be at most {LARGEST_FFT // 2}, got {self.bands}")

    @property
    def numbers(self) -> MelNumbers:
        """The matrices of the DFT and of the filter bank."""
        return _numbers(self.sample_rate, self.window, self.bands, self.fft_size, self.lower_hz, self.upper_hz)

    @property
    def fft_length(self) -> int:
        """How many samples the DFT has, zeros behind the window included."""
        return self.fft_size or fft_size_of(self.window)

    def frames(self, samples: int) -> int:
        """Return how many whole frames so many samples hold; `InvalidInput` where none."""
        if samples < self.window:
            raise InvalidInput(
                f"log_mel takes at least one window of {self.window} samples, got {samples}; give longer inputs"
            )
        return (samples - self.window) // self.hop + 1

    def sequence_behind(self, is_sequence: bool) -> bool:
        return self.layout == "sequence"

    def describe(self, shape: Shape) -> str:
        milliseconds = [f"{1000 * samples / self.sample_rate:g} ms" for samples in (self.window, self.hop)]
        by = ", FFT" if self.transform == "fft" else ""
        return f"{self.label}, {self.bands} bands, {milliseconds[0]} every {milliseconds[1]}, {self.sample_rate} Hz{by}"

    def out_shape(self, shape: Shape) -> Shape:
        if shape[1:] != (1, 1):
            raise InvalidInput(f"log_mel takes a waveform T x 1 x 1, got {' x '.join(map(str, shape))}")
        frames = self.frames(shape.height)
        return Shape(frames, self.bands, 1) if self.layout == "map" else Shape(frames, 1, self.bands)

    def kernels(self, shape: Shape) -> list[Kernel]:
        out = self.out_shape(shape)
        if self.transform == "fft":
            return self._fft_kernels(shape, out)
        (window, parts), (bins, bands) = self.numbers.dft.shape, self.numbers.mel.shape
        spectra, powers = Shape(out.height, 1, parts), Shape(out.height, 1, bins)
        dft = Kernel(
            "dft", "conv", shape, spectra, macs=out.height * window * parts, weights=window * parts,
            reads=shape.elements, writes=parts, held=out.elements, kernel_size=window, stride=self.hop, kernel_width=1,
        )  # fmt: skip
        mel = Kernel(
            "mel", "pointwise", powers, out, macs=out.height * (parts + bins * bands), weights=bins * bands,
            reads=parts, writes=out.elements, held=shape.elements,
        )  # fmt: skip
        return [dft, mel]

    def _fft_kernels(self, shape: Shape, out: Shape) -> list[Kernel]:
        """Return the kernels of window and FFT, and of powers and triangles, in the kind of products of two maps.

        The tables of the FFT are as many numbers as it has samples.
        """
        length, (bins, _) = self.fft_length, self.numbers.mel.shape
        triangles, parts = int(np.count_nonzero(self.numbers.mel)), length + 2
        operations = 5 * length * (length.bit_length() - 1) // 2
        fft = Kernel(
            "fft", "matmul", shape, Shape(out.height, 1, parts), macs=out.height * (self.window + operations),
            weights=self.window + length, reads=shape.elements, writes=parts, held=out.elements,
        )  # fmt: skip
        mel = Kernel(
            "mel", "matmul", Shape(out.height, 1, bins), out, macs=out.height * (2 * bins + triangles),
            weights=triangles, reads=parts, writes=out.elements, held=shape.elements,
        )  # fmt: skip
        return [fft, mel]

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        return graph.writer.in_floats(f"{name}.quantised", x, partial(self._spectrogram, graph, name))

    def _spectrogram(self, graph: Lowering, name: str, x: Value) -> Value:
        """Add the front end, whose powers span more than 8 bits hold."""
        dft, mel, first = self.numbers
        writer, bins = graph.writer, len(mel)
        if self.transform == "fft":
            kept = range(first, first + bins)
            powers = writer.powers(
                f"{name}.power", x, hann(self.window), hop=self.hop, fft_size=self.fft_length, bins=kept
            )
        else:
            spectra = writer.frames(f"{name}.dft", x, dft, hop=self.hop)
            parts = writer.split(f"{name}.parts", writer.multiply(f"{name}.squares", spectra, spectra), [bins, bins])
            powers = writer.add(f"{name}.power", *parts)
        plus = writer.conv(f"{name}.mel", powers, (mel / self.epsilon)[None, None], _ones(mel), stride=1, act="none")
        found = writer.log(f"{name}.log", plus)
        return writer.channels_to_width(f"{name}.map", found) if self.layout == "map" else found


@lru_cache(maxsize=64)
def _numbers(*settings: int) -> MelNumbers:
    found = mel_numbers(*settings)
    for array in found[:2]:
        array.setflags(write=False)
    return found


def _ones(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.ones(mel.shape[1])


@dataclass(frozen=True)
class LogMelChoices(Choices):
    """The options of a front end: windows and hops in ms, and bands; `sample_rate` in Hz and edges are fixed.

    In the layout "sequence" the bands are the channels behind it: a choice of the `filters` of its stage.
    """

    sample_rate: int
    windows_ms: tuple[float, ...] = (25.0,)
    hops_ms: tuple[float, ...] = (10.0,)
    bands: tuple[int, ...] = (40,)
    layout: Layout = "map"
    lower_hz: int = 0
    upper_hz: int = 0
    transform: Transform = "matmul"

    @property
    def tag(self) -> str:
        return LogMel.tag

    @property
    def is_front_end(self) -> bool:
        return True

    @property
    def choices(self) -> tuple[Choice, ...]:
        bands = (Choice("bands", self.bands),) if self.layout == "map" else ()
        return (Choice("windowms", self.windows_ms), Choice("hopms", self.hops_ms), *bands)

    def at_rate(self, sample_rate: int) -> "LogMelChoices":
        """Return the same in ms and Hz at another sample rate; the upper edge stays below half of that."""
        highest = min(self.upper_hz, sample_rate // 2)
        return replace(self, sample_rate=sample_rate, upper_hz=highest)

    def build(self, values: Values, site: Site) -> Op:
        return LogMel(
            self.sample_rate,
            window=_samples(values["windowms"], self.sample_rate),
            hop=_samples(values["hopms"], self.sample_rate),
            bands=values["bands"] if self.layout == "map" else site.out_channels,
            layout=self.layout,
            lower_hz=self.lower_hz,
            upper_hz=self.upper_hz,
            transform=self.transform,
        )


def _samples(milliseconds: float, sample_rate: int) -> int:
    """Return a duration in samples, at least one."""
    return max(1, round(milliseconds * sample_rate / 1000))
