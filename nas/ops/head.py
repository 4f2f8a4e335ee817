"""The classification head of a network: pool, optional hidden layer, classifier."""

from dataclasses import dataclass
from typing import ClassVar

from nas.ops import fields
from nas.ops.base import Act, Op
from nas.ops.fields import PlainAct
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import Kernel, Shape, dense, pool


@dataclass(frozen=True)
class Head(Op):
    """Global average pool, an optional hidden 1 x 1 layer on the pooled features, and the classifier with bias.

    MobileNetV4 normalises the hidden layer (no bias); MobileNetV3 does not (bias). `hidden` 0 means none.
    """

    tag: ClassVar[str] = "head"
    hidden: int = fields.optional_channels()
    hidden_norm: bool = fields.flag(True)
    act: Act = fields.choice(PlainAct, "relu")

    def classify(self, shape: Shape, num_classes: int) -> list[Kernel]:
        """Return the kernels from the final feature map to `num_classes` logits."""
        kernels = [pool("pool", shape)]
        features = shape.channels
        if self.hidden:
            params = features * self.hidden + self.hidden * (2 if self.hidden_norm else 1)
            kernels.append(dense("hidden", features, self.hidden, params=params))
            features = self.hidden
        return [*kernels, dense("classifier", features, num_classes)]

    def emit_logits(self, graph: Lowering, x: Value, num_classes: int) -> Value:
        """Add the head on the final feature map to a graph and return the logits, a vector of `num_classes`."""
        x = graph.writer.flatten("head.flat", graph.writer.pool("head.pool", x))
        if self.hidden:
            weight = graph.tensor("head.hidden.weight", x.shape.channels, self.hidden)
            if self.hidden_norm:
                factor, bias = graph.folded_norm("head.hidden", self.hidden)
                weight = weight * factor
            else:
                bias = graph.tensor("head.hidden.bias", self.hidden)
            x = graph.writer.dense("head.hidden", x, weight, bias, act=self.act)
        weight = graph.tensor("head.classifier.weight", x.shape.channels, num_classes)
        bias = graph.tensor("head.classifier.bias", num_classes)
        return graph.writer.dense("head.classifier", x, weight, bias, act="none")
