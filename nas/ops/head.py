"""The classification head of a network: pool, optional hidden layer, classifier."""

from dataclasses import dataclass
from typing import ClassVar

from nas.ops.base import Act, Op
from nas.ops.kernels import Kernel, Shape, dense, pool


@dataclass(frozen=True)
class Head(Op):
    """Global average pool, an optional hidden 1 x 1 layer on the pooled features, and the classifier with bias.

    MobileNetV4 normalises the hidden layer (no bias); MobileNetV3 does not (bias). `hidden` 0 means none.
    """

    tag: ClassVar[str] = "head"
    hidden: int = 0
    hidden_norm: bool = True
    act: Act = "relu"

    def classify(self, shape: Shape, num_classes: int) -> list[Kernel]:
        """Return the kernels from the final feature map to `num_classes` logits."""
        kernels = [pool("pool", shape)]
        features = shape.channels
        if self.hidden:
            params = features * self.hidden + self.hidden * (2 if self.hidden_norm else 1)
            kernels.append(dense("hidden", features, self.hidden, params=params))
            features = self.hidden
        return [*kernels, dense("classifier", features, num_classes)]
