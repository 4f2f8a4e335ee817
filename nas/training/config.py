"""Settings of a training: length, batch, optimizer, schedule, average, loss, and what a recipe adds."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from nas.errors import InvalidInput
from nas.training.ingredients import NONE, Ingredients
from nas.training.optimizers import AdamW, OptimizerConfig
from nas.training.qat_config import QATConfig


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training. The optimizer carries the peak learning rate and the weight decay (of kernels only)."""

    epochs: int = 30
    batch_size: int = 128
    optimizer: OptimizerConfig = field(default_factory=AdamW)
    label_smoothing: float = 0.1
    ema_decay: float = 0.9995
    warmup_fraction: float = 0.05
    seed: int = 0
    ingredients: Ingredients = NONE
    validation: float = 0.0  # share of the training images that are set aside, and looked at after each epoch
    patience: int = 0  # epochs without a better validation that end the training; 0: it runs to its end
    qat: QATConfig | None = None  # the last steps in int8

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, math.inf), ("batch_size", 2, math.inf), ("label_smoothing", 0, 0.9),
            ("ema_decay", 0, 0.999999), ("warmup_fraction", 0, 0.9), ("seed", 0, 2**31 - 1),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise InvalidInput(f"{name} must lie between {low} and {high}, got {getattr(self, name)}")
        if not 0 < self.optimizer.learning_rate < math.inf:
            raise InvalidInput(f"the learning rate must be above 0, got {self.optimizer.learning_rate}")
        if self.patience < 0 or not 0 <= self.validation <= 0.9:
            raise InvalidInput(
                f"validation is a share of the images from 0 to 0.9 and patience at least 0 epochs, got "
                f"{self.validation} and {self.patience}"
            )
        if self.patience and not self.validation:
            raise InvalidInput(
                "patience counts epochs without a better validation: set validation, a share of images, too"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; what recipes add only where it is not the default."""
        optimizer: Any = self.optimizer
        of_optimizer = {"optimizer": type(optimizer).__name__, **asdict(optimizer)}
        if of_optimizer.get("eps") == AdamW.eps:
            del of_optimizer["eps"]
        own = (
            "optimizer",
            "ingredients",
            "qat",
            *(name for name in ("validation", "patience") if not getattr(self, name)),
        )
        body = {name: value for name, value in vars(self).items() if name not in own}
        of_int8 = {} if self.qat is None else self.qat.to_dict()
        return body | of_optimizer | self.ingredients.to_dict() | of_int8
