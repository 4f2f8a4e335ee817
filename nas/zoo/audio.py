"""Reference networks for sounds by name: keyword spotters and a recogniser of emotions, on the maps of their papers.

They stand apart from the networks for images, to which comparisons add them. MobileNetV1 and V2 on spectrograms are
the networks for images behind a log-mel front end: `nas train mobilenetv2 --data fsdd`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from nas.arch import ArchSpec
from nas.errors import unknown_name
from nas.ops import Conv, GramPool, Head, MaxPool, Op, SeparableConv, Shape, TimeBandConv

HELLO_EDGE = ("Hello Edge: Keyword Spotting on Microcontrollers", "1711.07128")
WAV2SMALL = (
    "Wav2Small: Distilling Wav2Vec2 to 72K parameters for Low-Resource Speech emotion recognition",
    "2408.13920",
)


@dataclass(frozen=True)
class AudioNetwork:
    """A published network for sounds: how to build it for a map and a number of outputs, and those of its paper."""

    build: Callable[[Shape, int], ArchSpec]
    shape: Shape
    outputs: int
    paper: str
    url: str

    def spec(self) -> ArchSpec:
        """Return the network as published."""
        return self.build(self.shape, self.outputs)


def ds_cnn(channels: int, band_stride: int, strides: tuple[int, ...]) -> Callable[[Shape, int], ArchSpec]:
    """Return the builder of a DS-CNN: a 10 x 4 convolution of stride 2 over time, a separable one for each stride."""

    def build(shape: Shape, outputs: int) -> ArchSpec:
        stem = TimeBandConv(channels, 10, 4, 2, band_stride)
        blocks: tuple[Op, ...] = tuple(SeparableConv(channels, 3, stride) for stride in strides)
        return ArchSpec(shape, ((stem,), blocks), Head(), outputs, padding="same", norm_eps=1e-3)

    return build


def wav2small(shape: Shape, outputs: int) -> ArchSpec:
    """Return Wav2Small: seven convolutions of 13 channels, a pool behind the third, pooling with a Gram matrix."""
    convolution = Conv(13, 3)
    stages: tuple[tuple[Op, ...], ...] = ((convolution,) * 3, (MaxPool(), *(convolution,) * 4), (GramPool(),))
    return ArchSpec(shape, stages, Head(), outputs)


def _entry(build: Callable[[Shape, int], ArchSpec], shape: Shape, outputs: int, paper: tuple[str, str]) -> AudioNetwork:
    title, number = paper
    return AudioNetwork(build, shape, outputs, title, f"https://arxiv.org/abs/{number}")


COEFFICIENTS = Shape(49, 10, 1)  # frames of 40 ms every 20 ms of one second, ten MFCC
AUDIO: dict[str, AudioNetwork] = {
    "ds-cnn-s": _entry(ds_cnn(64, 2, (1, 1, 1, 1)), COEFFICIENTS, 12, HELLO_EDGE),
    "ds-cnn-m": _entry(ds_cnn(172, 1, (2, 1, 1, 1)), COEFFICIENTS, 12, HELLO_EDGE),
    "ds-cnn-l": _entry(ds_cnn(276, 1, (2, 1, 1, 1, 1)), COEFFICIENTS, 12, HELLO_EDGE),
    # One second at 16 kHz, 26 bands every 32 samples; arousal, dominance and valence.
    "wav2small": _entry(wav2small, Shape(500, 26, 1), 3, WAV2SMALL),
}


def audio_reference(name: str) -> ArchSpec:
    """Return the reference network for sounds of this name as published; `UnknownName` where there is none."""
    if name not in AUDIO:
        raise unknown_name("reference network for sounds", name, AUDIO)
    return replace(AUDIO[name].spec(), name=name)
