"""Settings of a quantisation-aware training; see nas.training.qat."""

from dataclasses import asdict, dataclass
from typing import Any

from nas.errors import InvalidInput


@dataclass(frozen=True)
class QATConfig:
    """Which part of a training's steps is in int8, at which part of its learning rate, and when ranges are fixed."""

    share: float = 0.1  # of the steps, the last ones
    rate: float = 0.01  # of the peak learning rate
    fixed_share: float = 0.5  # of the steps in int8, the last ones, have fixed ranges
    range_decay: float = 0.99  # of the running averages of the ranges, per step

    def __post_init__(self) -> None:
        for name, value in (
            ("share of the steps in int8", self.share), ("share of the learning rate", self.rate),
            ("share of fixed ranges", self.fixed_share), ("decay of the ranges", self.range_decay),
        ):  # fmt: skip
            if not 0 < value <= 1:
                raise InvalidInput(f"the {name} must lie above 0 and up to 1, got {value}")

    def steps_of(self, steps: int) -> int:
        """Return how many of the steps of a training are in int8: at least one, and one is left."""
        return min(max(1, round(self.share * steps)), steps - 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"qat": asdict(self)}
