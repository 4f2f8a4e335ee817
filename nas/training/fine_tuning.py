"""Trainings that start from trained weights: frozen stages, and learning rates that fall towards the input.

A frozen stage keeps the bits of its weights and of its normalisation statistics: it runs as at inference. Rates per
depth: discriminative fine-tuning (arXiv 1801.06146), layer-wise decay (arXiv 2106.08254).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import optax

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.nn.network import STATISTICS, Weights

HEAD = "head"  # first key of the names of the head's tensors; those of a stage begin with its number


@dataclass(frozen=True)
class FineTuning:
    """How stages are trained: the first `frozen_stages` not at all, the others at rates by their depth.

    The head has the rate of the schedule, the last stage `rate_decay` of that, the one before `rate_decay` of that, ...
    """

    frozen_stages: int = 0
    rate_decay: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.rate_decay <= 1:
            raise InvalidInput(f"rate_decay must lie above 0 and up to 1, got {self.rate_decay}")
        if self.frozen_stages < 0:
            raise InvalidInput(f"frozen_stages must be at least 0, got {self.frozen_stages}")

    def check(self, arch: ArchSpec) -> None:
        """Raise `InvalidInput` where the network has fewer stages than are to be frozen."""
        if self.frozen_stages > len(arch.stages):
            raise InvalidInput(
                f"{arch.name or 'the network'} has {len(arch.stages)} stages, of which {self.frozen_stages} cannot be "
                "frozen"
            )

    def is_frozen(self, name: str) -> bool:
        """Return whether the tensor of this name, "3.0.expand.weight" say, is frozen."""
        stage = name.partition(".")[0]
        return stage != HEAD and int(stage) < self.frozen_stages

    def split(self, weights: Mapping[str, Any]) -> tuple[Weights, Weights]:
        """Return (what is trained, what is frozen with its statistics); other statistics are in neither."""
        frozen = {name: value for name, value in weights.items() if self.is_frozen(name)}
        trained = {n: v for n, v in weights.items() if n not in frozen and not n.endswith(STATISTICS)}
        return trained, frozen

    def rate(self, name: str, stages: int) -> float:
        """Return the share of the schedule's learning rate that a tensor of a network of so many `stages` has."""
        stage = name.partition(".")[0]
        return 1.0 if stage == HEAD else self.rate_decay ** (stages - int(stage))

    def scaled(self, optimizer: optax.GradientTransformation, stages: int) -> optax.GradientTransformation:
        """Return the optimizer with the rates of its tensors, keyed by name; itself where all are alike."""
        if self.rate_decay == 1:
            return optimizer

        def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
            own = {name: jnp.float32(self.rate(name, stages)) * value for name, value in updates.items()}
            return own, state

        return optax.chain(optimizer, optax.GradientTransformation(lambda _: optax.EmptyState(), update))
