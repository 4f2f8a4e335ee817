"""What a network takes as its input and what its outputs mean: `InputSpec`, and `Signature`, that with the outputs.

A training and a run save the signature; every export states it. The `ArchSpec` beside it knows shapes only.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nas.data.waveform import FULL_SCALE
from nas.errors import InvalidInput
from nas.ops import Size
from nas.tasks.task import Meaning, Task

Fit = Literal["crop", "pad", "squash"]  # how an image of other proportions than the input's gets these
FITS: tuple[str, ...] = get_args(Fit)
OF_IMAGES = frozenset({"fit", "resampling", "background", "colour_order"})  # fields that say nothing of other arrays


@dataclass(frozen=True)
class Framing:
    """How an image file gets the proportions of the input: what is done with one of others, and what lies behind it."""

    fit: Fit = "crop"
    background: int = 255  # grey level behind transparent pixels and beside padded images, 0 (black) to 255 (white)

    def __post_init__(self) -> None:
        """Refuse what is no fit and no grey level."""
        if self.fit not in FITS:
            raise InvalidInput(f"fit must be one of {', '.join(FITS)}, got {self.fit!r}")
        if not 0 <= self.background <= 255:
            raise InvalidInput(f"background must be a grey level from 0 to 255, got {self.background}")


@dataclass(frozen=True)
class InputSpec:
    """How an image or an array becomes the input of a network, [1, height, width, channels].

    Of images that is (pixel / 255 - mean) / std, of `values` "numbers", maps or sequences (one wide), (x - mean) / std;
    of a "waveform" of `height` samples at `sample_rate` Hz, sample / 32768 for those of 16 bits.

    `crop` takes the centre of what covers the input, `pad` shows all of the image on `background`, `squash` changes its
    proportions. Transparent pixels are laid on `background`. Grey images count as colour ones of equal channels where
    the network takes three.
    """

    height: int
    width: int
    channels: int  # of images 1: grey, 3: colour
    mean: tuple[float, ...]  # per channel; of images in units of full scale (255 = 1)
    std: tuple[float, ...]
    fit: Fit = "crop"
    resampling: Literal["bilinear"] = "bilinear"  # antialiased, as Pillow's BILINEAR
    background: int = 255  # grey level, 0 (black) to 255 (white)
    colour_order: Literal["RGB", "grey"] = "RGB"
    layout: Literal["NHWC"] = "NHWC"  # of the network here; an exporter says where its format differs
    values: Literal["pixels", "numbers", "waveform"] = "pixels"  # 0 to 255, of any range, or within [-1, 1]
    sample_rate: int = 0  # Hz, of a waveform

    def __post_init__(self) -> None:
        """Refuse sizes, channels and normalisations that no input can have."""
        if self.values not in ("pixels", "numbers", "waveform"):
            raise InvalidInput(f"the values of an input must be pixels, numbers or waveform, got {self.values!r:.40}")
        if type(self.sample_rate) is not int or (self.values == "waveform") != (self.sample_rate > 0):
            raise InvalidInput(f"a waveform, and it alone, has a sample rate in Hz, got {self.sample_rate!r:.40}")
        if not self.is_image and min(self.height, self.width, self.channels) < 1:
            raise InvalidInput(f"an input must have sizes of at least 1, got {self.height, self.width, self.channels}")
        if self.is_image and (min(self.height, self.width) < 1 or self.channels not in (1, 3)):
            raise InvalidInput(
                f"an input must be at least 1 x 1 px with 1 or 3 channels, got {self.height} x {self.width} with "
                f"{self.channels}"
            )
        if not len(self.mean) == len(self.std) == self.channels:
            raise InvalidInput(f"an input of {self.channels} channels needs a mean and a std for each of them")
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise InvalidInput(f"means must be finite and stds positive, got {self.mean} and {self.std}")
        _ = self.framing

    @property
    def is_image(self) -> bool:
        """Whether the input is an image, else a map or a sequence of numbers, or a waveform."""
        return self.values == "pixels"

    @property
    def is_waveform(self) -> bool:
        """Whether the input is a waveform, one sample a step."""
        return self.values == "waveform"

    @property
    def size(self) -> Size:
        """Height and width."""
        return Size(self.height, self.width)

    @property
    def framing(self) -> Framing:
        """How an image gets the proportions of the input."""
        return Framing(self.fit, self.background)

    def normalised(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return `pixels` [N, H, W, 1 or channels], or numbers, as the input [N, H, W, channels], float32."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        if self.is_waveform and pixels.dtype == np.int16:
            pixels = pixels.astype(np.float32) / np.float32(FULL_SCALE)
        if not self.is_image:
            numbers: npt.NDArray[np.float32] = (pixels.astype(np.float32) - mean) / std
            return numbers
        if pixels.shape[-1] not in (1, self.channels):
            raise InvalidInput(f"the network takes {self.channels} channels, but the images have {pixels.shape[-1]}")
        normalised: npt.NDArray[np.float32] = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return normalised

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        body = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        left_out = {"values"} if self.is_image else set(OF_IMAGES)
        left_out |= set() if self.is_waveform else {"sample_rate"}
        return {key: value for key, value in body.items() if key not in left_out}

    @classmethod
    def from_dict(cls, data: Any) -> "InputSpec":
        """Return the input in the JSON form `data`; `InvalidInput` where it is none."""
        known = {field.name for field in fields(cls)}
        if not isinstance(data, Mapping) or set(data) - known:
            raise InvalidInput(f"an input must be an object of the fields {', '.join(sorted(known))}")
        try:
            values = {**data, "mean": tuple(map(float, data["mean"])), "std": tuple(map(float, data["std"]))}
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"the description of the input is malformed ({error})") from error


@dataclass(frozen=True)
class OutputSpec:
    """What the outputs of a network mean: logits of one class, logits of several labels, or numbers in their own units.

    `kind` is the name of the task; `mean` and `std` are those of numbers over the training set. A model whose outputs
    are `standardised`, an int8 one, gives them less the mean, divided by the std: else targets of small numbers would
    vanish beside those of large ones, in a tensor of one scale.
    """

    kind: str = "classification"
    meaning: Meaning = "classes"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    standardised: bool = False

    @classmethod
    def of(cls, task: Task) -> "OutputSpec":
        """Return the outputs of a task."""
        scale = task.rescaling()
        return cls(task.kind, task.outputs, *(() if scale is None else scale))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        body = {"kind": self.kind, "outputs": self.meaning}
        scale = {"mean": list(self.mean), "std": list(self.std)} if self.mean else {}
        return body | scale | ({"standardised": True} if self.standardised else {})

    @classmethod
    def from_dict(cls, data: Any) -> "OutputSpec":
        """Return the outputs in the JSON form `data`; `InvalidInput` where it is none."""
        try:
            kind, meaning, standardised = data["kind"], data["outputs"], data.get("standardised", False)
            mean, std = (tuple(map(float, data.get(name, []))) for name in ("mean", "std"))
            if not isinstance(kind, str) or meaning not in get_args(Meaning) or not isinstance(standardised, bool):
                raise ValueError(f"outputs {meaning!r:.40}")
            if len(mean) != len(std) or not all(map(math.isfinite, (*mean, *std))) or min(std, default=1) <= 0:
                raise ValueError(f"mean {mean} and std {std}")
            return cls(kind, meaning, mean, std, standardised)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"the description of the task is malformed ({error})") from error


CLASSES = OutputSpec()


@dataclass(frozen=True)
class Signature:
    """The input of a network, the names of its outputs in their order, and what the outputs mean."""

    input: InputSpec
    class_names: tuple[str, ...]  # of classes, labels or targets
    outputs: OutputSpec = CLASSES

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, which stands in train.json of a training and in signature.json of a run."""
        body = {"input": self.input.to_dict(), "class_names": list(self.class_names)}
        return body if self.outputs == CLASSES else body | {"task": self.outputs.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Signature":
        """Return the signature in the JSON form `data`, whose other keys do not matter."""
        names = data.get("class_names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InvalidInput("class_names must be a list of texts")
        outputs = CLASSES if "task" not in data else OutputSpec.from_dict(data["task"])
        return cls(InputSpec.from_dict(data.get("input")), tuple(names), outputs)
