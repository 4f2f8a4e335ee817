"""Reference networks by name, with paper and published top-1, built from block tables: one file per family.

A name may carry a width multiplier and a resolution: "mobilenetv2@0.75", "mobilenetv2@0.75,192px", "mixnet-s@160px".
Released weights differ in padding and epsilon; the specs here have symmetric padding and 1e-5 throughout, as have the
outside implementations that the golden logits come from. `dataclasses.replace` changes them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from nas.arch import ArchSpec
from nas.errors import InvalidInput, unknown_name
from nas.ops import Shape
from nas.zoo import accelerators, efficientnet, mobiledets, mobilenet_v4, mobilenets, mobileone
from nas.zoo.building import Builder, scaled_width
from nas.zoo.mobilenets import mobilenet_v1, mobilenet_v2
from nas.zoo.published import SERIES, PublishedAccuracy, Series, published_accuracies, published_accuracy

__all__ = [
    "BASELINES",
    "SERIES",
    "ZOO",
    "PublishedAccuracy",
    "Reference",
    "Series",
    "ZooEntry",
    "is_reference",
    "mobilenet_v1",
    "mobilenet_v2",
    "parse_reference",
    "published_accuracies",
    "published_accuracy",
    "reference",
    "scaled_width",
]


@dataclass(frozen=True)
class ZooEntry:
    """A published network: how to build it, the side of its images in pixels, and what its authors report."""

    build: Builder
    resolution: int
    paper: str
    url: str
    top1_percent: float | None  # ImageNet-1k validation, as published; None where its authors report none
    top1_source: str
    width: float = 1.0  # width multiplier of the published form
    has_width_multipliers: bool = False
    baseline: bool = False  # whether a comparison adds it by itself

    def spec(self) -> ArchSpec:
        """Return the network as published: 3 channels, 1,000 classes."""
        return self.build(Shape(self.resolution, self.resolution, 3), 1000, self.width)


def _entry(name: str, build: Builder, paper: tuple[str, str], *, resolution: int = 224, width: float = 1.0,
           has_width_multipliers: bool = False, baseline: bool = True) -> ZooEntry:  # fmt: skip
    top1 = published_accuracy(name, width, resolution)
    title, number = paper
    url, shown = f"https://arxiv.org/abs/{number}", (top1.top1_percent, top1.source)
    return ZooEntry(build, resolution, title, url, *shown, width, has_width_multipliers, baseline)


def _without_accuracy(build: Builder, paper: tuple[str, str], resolution: int = 224) -> ZooEntry:
    """Return the entry of a network whose authors report no ImageNet accuracy."""
    title, number = paper
    return ZooEntry(build, resolution, title, f"https://arxiv.org/abs/{number}", None, "", 1.0, True)


_V1 = ("MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", "1704.04861")
_V2 = ("MobileNetV2: Inverted Residuals and Linear Bottlenecks", "1801.04381")
_V3 = ("Searching for MobileNetV3", "1905.02244")
_V4 = ("MobileNetV4 - Universal Models for the Mobile Ecosystem", "2404.10518")
_MNAS = ("MnasNet: Platform-Aware Neural Architecture Search for Mobile", "1807.11626")
_EFFICIENT = ("EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", "1905.11946")
_MIX = ("MixConv: Mixed Depthwise Convolutional Kernels", "1907.09595")
_EDGETPU = ("Accelerator-aware Neural Network Design using AutoML", "2003.02838")
_MULTI = ("Discovering Multi-Hardware Mobile Models via Architecture Search", "2008.08178")


_FD = ("FD-MobileNet: Improved MobileNet with a Fast Downsampling Strategy", "1802.03750")
_CA = ("Coordinate Attention for Efficient Mobile Network Design", "2103.02907")
_DET = ("MobileDets: Searching for Object Detection Architectures for Mobile Accelerators", "2004.14525")
_ONE = ("MobileOne: An Improved One Millisecond Mobile Backbone", "2206.04040")


def _scalable_entry(
    name: str, build: Builder, paper: tuple[str, str], width: float = 1.0, baseline: bool = True
) -> ZooEntry:
    return _entry(name, build, paper, width=width, has_width_multipliers=True, baseline=baseline)


_MULTI_MAX, _MULTI_AVG = map(accelerators.multi_hardware, (accelerators.MULTI_MAX, accelerators.MULTI_AVG))
_MNAS_B1, _MNAS_A1 = map(efficientnet.mnasnet, (efficientnet.MNASNET_B1, efficientnet.MNASNET_A1))
_V3_LARGE = mobilenets.mobilenet_v3(mobilenets.V3_LARGE, 960, 1280)
_V3_SMALL = mobilenets.mobilenet_v3(mobilenets.V3_SMALL, 576, 1024)
_V3_LARGE_MIN, _V3_SMALL_MIN = (
    mobilenets.mobilenet_v3(mobilenets.minimalistic(table), last, hidden, "relu")
    for table, last, hidden in ((mobilenets.V3_LARGE, 960, 1280), (mobilenets.V3_SMALL, 576, 1024))
)
_MNAS_SMALL = efficientnet.mnasnet(efficientnet.MNASNET_SMALL, 8)
_MIXNETS = {
    "mixnet-s": efficientnet.mixnet(efficientnet.MIXNET_S, 16),
    "mixnet-m": efficientnet.mixnet(efficientnet.MIXNET_M, 24),
    "mixnet-l": efficientnet.mixnet(efficientnet.MIXNET_M, 24, 1.3),
}
ZOO: dict[str, ZooEntry] = {
    **{
        name: _entry(name, build, _V4, resolution=resolution, has_width_multipliers=True)
        for name, (build, resolution) in mobilenet_v4.NETWORKS.items()
    },
    "mobilenetv1": _scalable_entry("mobilenetv1", mobilenet_v1, _V1),
    "mobilenetv2": _scalable_entry("mobilenetv2", mobilenet_v2, _V2),
    "mobilenetv3-large": _scalable_entry("mobilenetv3-large", _V3_LARGE, _V3),
    "mobilenetv3-small": _scalable_entry("mobilenetv3-small", _V3_SMALL, _V3),
    "mobilenet-multi-max": _scalable_entry("mobilenet-multi-max", _MULTI_MAX, _MULTI, 1.5),
    "mobilenet-multi-avg": _scalable_entry("mobilenet-multi-avg", _MULTI_AVG, _MULTI, 1.5),
    "mobilenet-edgetpu": _scalable_entry("mobilenet-edgetpu", accelerators.mobilenet_edgetpu("none"), _EDGETPU),
    "mobilenet-edgetpu-timm": _without_accuracy(accelerators.mobilenet_edgetpu("relu"), _EDGETPU),
    "mnasnet-b1": _scalable_entry("mnasnet-b1", _MNAS_B1, _MNAS),
    "mnasnet-a1": _scalable_entry("mnasnet-a1", _MNAS_A1, _MNAS),
    "mnasnet-small": _scalable_entry("mnasnet-small", _MNAS_SMALL, _MNAS, baseline=False),
    "fd-mobilenet": _scalable_entry("fd-mobilenet", mobilenets.fd_mobilenet, _FD, baseline=False),
    "mobilenetv2-ca": _scalable_entry("mobilenetv2-ca", mobilenets.mobilenet_v2_ca, _CA, baseline=False),
    "mobilenetv3-large-minimalistic": _scalable_entry(
        "mobilenetv3-large-minimalistic", _V3_LARGE_MIN, _V3, baseline=False
    ),
    "mobilenetv3-small-minimalistic": _scalable_entry(
        "mobilenetv3-small-minimalistic", _V3_SMALL_MIN, _V3, baseline=False
    ),
    "mobiledet-cpu": _without_accuracy(mobiledets.mobiledet(mobiledets.CPU, 16, "hswish", 0.25), _DET, 320),
    "mobiledet-dsp": _without_accuracy(mobiledets.mobiledet(mobiledets.DSP, 32), _DET, 320),
    "mobiledet-edgetpu": _without_accuracy(mobiledets.mobiledet(mobiledets.EDGETPU, 32), _DET, 320),
    **{
        name: _entry(name, mobileone.mobileone(variant), _ONE, baseline=False)
        for name, variant in mobileone.VARIANTS.items()
    },
    **{name: _entry(name, build, _MIX, baseline=name == "mixnet-s") for name, build in _MIXNETS.items()},
    **{
        name: _entry(
            name,
            efficientnet.efficientnet(scale),
            _EFFICIENT,
            resolution=scale.resolution,
            baseline=name == "efficientnet-b0",
        )
        for name, scale in efficientnet.RELEASED.items()
    },
    **{
        name: _entry(
            name, efficientnet.efficientnet_lite(scale), _EFFICIENT, resolution=scale.resolution, baseline=False
        )
        for name, scale in efficientnet.LITE.items()
    },
}
# The reference networks that a comparison adds to runs and specs: of each family those of a size for phones.
BASELINES = tuple(name for name, entry in ZOO.items() if entry.baseline)


class Reference(NamedTuple):
    """A network of the zoo with its width multiplier and resolution."""

    network: str
    width: float
    resolution: int


def is_reference(text: str) -> bool:
    """Return whether `text` begins with the name of a reference network; what follows "@" may still be wrong."""
    return text.partition("@")[0] in ZOO


def parse_reference(text: str) -> Reference:
    """Parse "NAME", "NAME@WIDTH", "NAME@PXpx" or "NAME@WIDTH,PXpx"; what is left out is as published.

    Raises `UnknownName` for an unknown name, `InvalidInput` where the part behind "@" is neither, or the network has no
    width multipliers.
    """
    name, at, options = text.partition("@")
    if name not in ZOO:
        raise unknown_name("reference network", name, ZOO)
    entry = ZOO[name]
    values: dict[str, float] = {}
    for option in options.split(",") if at else ():
        key, number = ("resolution", option.removesuffix("px")) if option.endswith("px") else ("width", option)
        kind: Callable[[str], float] = int if key == "resolution" else float
        try:
            value = kind(number)
        except ValueError:
            value = 0
        if key in values or not 0 < value <= (16 if key == "width" else 1 << 14):
            raise InvalidInput(f"'{text}' must be a name of nas zoo, or NAME@WIDTH,PXpx such as mobilenetv2@0.75,192px")
        values[key] = value
    width = values.get("width", entry.width)
    if width != entry.width and not entry.has_width_multipliers:
        raise InvalidInput(f"{name} has no width multipliers, got {width:g}; leave it out")
    return Reference(name, width, int(values.get("resolution", entry.resolution)))


def reference(
    name: str,
    *,
    width: float | None = None,
    resolution: int | None = None,
    channels: int = 3,
    num_classes: int = 1000,
) -> ArchSpec:
    """Return the reference network `name`, see `parse_reference`, for square images.

    `width` and `resolution` override those in the name.
    """
    found = parse_reference(name)
    if width is not None:
        found = parse_reference(f"{found.network}@{width},{found.resolution}px")
    side = found.resolution if resolution is None else resolution
    return replace(ZOO[found.network].build(Shape(side, side, channels), num_classes, found.width), name=name)
