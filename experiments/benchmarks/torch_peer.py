"""The networks of the benchmarks in PyTorch: an `ArchSpec` in eager mode, channels last. Imports torch.

Ops of the UIB space only. Normalisation takes the statistics of the batch, as ours does; the optimizer is PyTorch's
fused AdamW at a constant rate, which costs what ours with a schedule costs or less.
"""

from collections.abc import Iterator

import numpy as np
import torch  # type: ignore[import-not-found,unused-ignore]
from numpy.typing import NDArray
from torch import nn  # type: ignore[import-not-found,unused-ignore]

from nas.arch import ArchSpec
from nas.ops import UIB, Conv, FusedIB, Op


class Residual(nn.Sequential):  # type: ignore[misc,unused-ignore]
    """Layers with a residual connection."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


def _unit(
    channels: tuple[int, int], kernel_size: int, stride: int, act: bool, eps: float, groups: int = 1
) -> Iterator[nn.Module]:
    yield nn.Conv2d(*channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False)
    yield nn.BatchNorm2d(channels[1], eps, track_running_stats=False)
    if act:
        yield nn.ReLU(inplace=True)


def _layers(op: Op, channels: int, eps: float) -> Iterator[nn.Module]:
    if getattr(op, "act", None) != "relu":
        raise NotImplementedError(f"the peer knows ReLU only, got {op}")
    if isinstance(op, Conv):
        yield from _unit((channels, op.out_channels), op.kernel_size, op.stride, True, eps)
    elif isinstance(op, FusedIB):
        yield from _unit((channels, op.expanded_channels), op.kernel_size, op.stride, True, eps)
        yield from _unit((op.expanded_channels, op.out_channels), 1, 1, False, eps)
    elif isinstance(op, UIB):
        expanded = op.expanded_channels
        if op.start_dw:
            yield from _unit((channels, channels), op.start_dw, op.start_stride, False, eps, channels)
        yield from _unit((channels, expanded), 1, 1, True, eps)
        if op.middle_dw:
            yield from _unit((expanded, expanded), op.middle_dw, op.stride, True, eps, expanded)
        yield from _unit((expanded, op.out_channels), 1, 1, False, eps)
    else:
        raise NotImplementedError(f"the peer has no {type(op).__name__}")


def build(arch: ArchSpec) -> nn.Module:
    """Return the network of `arch` with PyTorch's own initialisation."""
    if arch.padding != "symmetric":
        raise NotImplementedError("the peer pads symmetrically only")
    layers: list[nn.Module] = []
    for _, op, shape in arch.iter_ops():
        kind = Residual if getattr(op, "residual", False) else nn.Sequential
        layers.append(kind(*_layers(op, shape.channels, arch.norm_eps)))
    hidden = _unit((arch.final_feature_map.channels, arch.head.hidden), 1, 1, True, arch.norm_eps)
    head = [nn.AdaptiveAvgPool2d(1), *hidden, nn.Flatten(), nn.Linear(arch.head.hidden, arch.num_classes)]
    return nn.Sequential(*layers, *head)


class Peer:
    """Training steps and evaluations of one network on fixed images."""

    def __init__(
        self,
        arch: ArchSpec,
        x: NDArray[np.uint8],
        y: NDArray[np.int32],
        smoothing: float,
        rate: float,
        decay: float,
        accelerator: bool,
    ) -> None:
        """Take images x [N,H,W,C] with labels y [N]; on an accelerator the network runs in bfloat16."""
        self.device = torch.device("cuda" if accelerator and torch.cuda.is_available() else "cpu")
        self.model = build(arch).to(self.device, memory_format=torch.channels_last)
        weights = [p for p in self.model.parameters() if p.dim() > 1]
        others = [p for p in self.model.parameters() if p.dim() <= 1]
        groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, fused=True)
        self.loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
        self.x = torch.from_numpy(np.array(x.transpose(0, 3, 1, 2))).to(self.device)
        self.y = torch.from_numpy(y.astype(np.int64)).to(self.device)
        self.channels = arch.input_shape.channels

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        x = ((x.float() / 255 - 0.5) / 0.25).expand(-1, self.channels, -1, -1)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model(x.contiguous(memory_format=torch.channels_last))

    def train(self, rows: NDArray[np.int64]) -> None:
        """Run one step for each row of image indices [steps, batch]."""
        for row in torch.from_numpy(rows).to(self.device):
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(self._logits(self.x[row]), self.y[row]).backward()
            self.optimizer.step()
        self._wait()

    def evaluate(self, count: int, batch: int) -> int:
        """Return how many of the first `count` images are classified correctly, `batch` at a time."""
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        with torch.no_grad():
            for start in range(0, count, batch):
                part = slice(start, start + batch)
                correct += (self._logits(self.x[part]).argmax(1) == self.y[part]).sum()
        return int(correct)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
