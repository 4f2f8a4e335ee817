"""Published ImageNet top-1 of the reference networks, by width multiplier and resolution, each with its source.

EfficientNet-B0 to B5 were checked against MosaicML Composer's model card (docs.mosaicml.com, model_cards/efficientnet,
column of the authors' accuracies), B6 and B7 against several public copies of the paper's table, the MixNets against
the column "Reference top1" of PaddleClas (docs/en/models/MixNet_en.md), MixNet-L against the authors' page too
(tensorflow/tpu, models/official/mnasnet/mixnet/README.md): all agree. Those of MobileOne are without distillation.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from nas.errors import InvalidInput

Series = Literal["authors", "mobilenetv4-tab6"]
SERIES: tuple[Series, ...] = get_args(Series)


@dataclass(frozen=True)
class PublishedAccuracy:
    """One published accuracy on the validation images of ImageNet-1k.

    The series says who trained: the network's own authors, or those of MobileNetV4 (arXiv 2404.10518, Tab. 6), who
    trained the older networks again with a newer recipe. Accuracies of different series must not be compared.
    """

    series: Series
    network: str
    width: float
    resolution: int
    top1_percent: float
    source: str


@cache
def published_accuracies() -> tuple[PublishedAccuracy, ...]:
    """Return all published accuracies."""
    text = files("nas.zoo").joinpath("published_top1.csv").read_text()
    found = []
    for row in csv.DictReader(text.splitlines()):
        series: Series = "authors" if row["series"] == "authors" else "mobilenetv4-tab6"
        numbers = float(row["width"]), int(row["resolution"]), float(row["top1_percent"])
        found.append(PublishedAccuracy(series, row["network"], *numbers, row["source"]))
    return tuple(found)


def published_accuracy(network: str, width: float, resolution: int, series: Series = "authors") -> PublishedAccuracy:
    """Return the published accuracy of one network; `InvalidInput` where none is known."""
    for one in published_accuracies():
        if (one.series, one.network, one.width, one.resolution) == (series, network, width, resolution):
            return one
    raise InvalidInput(f"no accuracy of {network} at width {width:g} and {resolution} px is known in series '{series}'")
